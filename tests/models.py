"""Models that tests put to work: small, fast to load, and wrong in the ways that real ones are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

import servery

NORMAL, RAISE, EXIT, SLEEP, HANG = range(5)
"""What the second number of a row makes ``save_echo``'s model do."""
SLEEP_SECONDS = 1.0


def save_echo(folder: Path, version: int) -> Path:
    """A row-wise model: ``[[nonce, action], …]`` → ``[[version, nonce, nonce * version], …]``.

    ``action`` may make it raise, exit, sleep or hang. Its example is one normal row.
    """

    def predict(rows: Any) -> Any:
        import os
        import time

        import numpy

        for action in rows[:, 1]:
            if action == RAISE:
                raise ValueError("this value is not for me")
            if action == EXIT:
                os._exit(3)
            if action == SLEEP:
                time.sleep(SLEEP_SECONDS)
            if action == HANG:
                time.sleep(3600)
        nonces = rows[:, 0]
        return numpy.column_stack([numpy.full(len(rows), version), nonces, nonces * version])

    servery.save_model(predict, folder, input_example=np.array([[1, NORMAL], [2, NORMAL]]), requirements=["numpy"])
    return folder


def echo_body(nonce: int, action: int = NORMAL) -> dict[str, Any]:
    return {"inputs": [[nonce, action]]}


def is_echo(nonce: int, predictions: Any) -> bool:
    """Whether the answer is this nonce's own, from whichever version."""
    version = predictions[0][0]
    return bool(predictions == [[version, nonce, nonce * version]])


def spoil(package: Path, how: str) -> Path:
    """Make a good package one that does not load: it raises, exits, hangs, or answers its example wrongly."""

    class Bad:
        def __setstate__(self, state: object) -> None:
            import os
            import time

            if how == "raise":
                raise RuntimeError("no recipe today")
            if how == "exit":
                os._exit(3)
            if how == "hang":
                time.sleep(3600)

        def predict(self, rows: Any) -> Any:
            return rows[:, :1] * 0

    bad = Bad()
    bad.__dict__["how"] = how
    (package / "model.pkl").write_bytes(cloudpickle.dumps(bad))
    (package / "manifest.json").unlink()
    return package


@contextmanager
def by_value(module: str) -> Iterator[None]:
    """What the module defines travels in the pickles: no worker has it."""
    cloudpickle.register_pickle_by_value(sys.modules[module])
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[module])
