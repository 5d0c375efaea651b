"""What a package's files say of a version: what it takes and gives, and an example of both.

Nothing of the package is imported or run. It is read once, when a pool's package is there, and kept with the pool.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from servery.package.example import SERVING_EXAMPLE_FILE
from servery.package.mlmodel import MLmodel
from servery.serving.pages.json_schema import Schema
from servery.serving.pages.replies import predictions_schema
from servery.serving.pages.requests import json_bodies
from servery_worker.schema import Signature

EXAMPLE_BYTES_MAX = 64 << 10
"""A larger example is not shown."""
_EXAMPLE_DEPTH_MAX = 64
"""Nor is a deeper one: a page is written by code that recurses."""


@dataclass(frozen=True, eq=False)
class Description:
    """One version, from its files."""

    flavor: str
    signature: Signature | None = None
    """None where the package has none: the model takes what its own code takes."""
    request: Any = None
    """The input example as a JSON body; None where there is none to show."""
    answer: Any = None
    """What was answered to it when the package was made; None where that was not recorded."""
    notes: tuple[str, ...] = ()
    """What is left out, and why: sentences for people."""

    @cached_property
    def bodies(self) -> dict[str, Schema]:
        """The JSON bodies that fit, by their form."""
        return json_bodies(self.signature)

    @cached_property
    def predictions(self) -> Schema:
        """What ``predictions`` of an answer is."""
        return predictions_schema(self.signature.outputs if self.signature else None, self.answer)


UNKNOWN = Description("unknown")
"""Of a version whose package is not here yet: it may take anything."""


def describe(folder: Path, mlmodel: MLmodel) -> Description:
    """The description of the package in ``folder``; reads files, so not on an event loop."""
    fields, signature = mlmodel.fields, mlmodel.signature
    if signature is not None and fields.get("is_signature_from_type_hint") is True:
        signature = replace(signature, is_from_type_hint=True)
    example = fields.get("saved_input_example_info") or {}
    recorded = (fields.get("servery") or {}).get("example_output")
    notes: list[str] = []
    request = _read(folder / (example.get("serving_input_path") or SERVING_EXAMPLE_FILE), "input example", notes)
    answer = _read(folder / recorded, "recorded answer", notes) if recorded else None
    made = Description(_flavor(mlmodel.flavors), signature, request, answer, tuple(notes))
    _ = made.bodies, made.predictions  # Of a thousand columns they take a while, which no event loop should.
    return made


def _flavor(flavors: Mapping[str, Any]) -> str:
    return next((str(name) for name in flavors if name != "python_function"), "python_function")


def _read(file: Path, what: str, notes: list[str]) -> Any:
    """The JSON in ``file``; None where there is none, or where a note says why it is not shown."""
    try:
        with file.open("rb") as opened:
            text = opened.read(EXAMPLE_BYTES_MAX + 1)
    except OSError:
        return None
    if len(text) > EXAMPLE_BYTES_MAX:
        notes.append(f"The {what} has more than {EXAMPLE_BYTES_MAX} bytes and is not shown.")
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        notes.append(f"The {what} is not JSON and is not shown.")
        return None
    if _is_deeper(value, _EXAMPLE_DEPTH_MAX):
        notes.append(f"The {what} is nested more than {_EXAMPLE_DEPTH_MAX} levels deep and is not shown.")
        return None
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)
