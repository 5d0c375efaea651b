"""A fresh process that loads a package and proves it on its example, as a worker does, to see what that needs.

Run as ``python -P -m servery.package.probe FOLDER`` with the parsed MLmodel as JSON on its input. It writes one JSON
object: ``modules``, the top-level modules that were imported for the model, and ``error``, a sentence or null.
It imports the guest and the standard library only, so that what it finds is the model's.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
from collections.abc import Mapping
from typing import Any


def main() -> None:
    # What a model prints goes to the error output; the answer has the output for itself.
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    folder, mlmodel = sys.argv[1], json.load(sys.stdin)
    before = set(sys.modules)
    _hide_orjson_from_guest()
    try:
        error = _try_model(folder, mlmodel)
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    modules = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
    with answer:
        json.dump({"modules": modules, "error": error}, answer)


def _try_model(folder: str, mlmodel: Mapping[str, Any]) -> str | None:
    from servery_worker.predictor import LoadError, load
    from servery_worker.proof import prove

    try:
        if prove(load(folder, mlmodel), folder, mlmodel) == "absent":
            _import_pandas()
    except LoadError as error:
        return str(error)
    return None


def _import_pandas() -> None:
    """Without an example nothing shows which inputs will come, and a table needs pandas."""
    try:
        import pandas  # noqa: F401
    except ImportError:
        return


def _hide_orjson_from_guest() -> None:
    """The guest uses orjson where it finds it, and needs it nowhere; a model that imports it still gets it."""
    real_import = builtins.__import__

    def without_orjson(name: str, globals: Mapping[str, Any] | None = None, *rest: Any) -> Any:  # noqa: A002
        importer = str((globals or {}).get("__name__", ""))
        if name == "orjson" and importer.startswith("servery_worker."):
            raise ImportError(name)
        return real_import(name, globals, *rest)

    builtins.__import__ = without_orjson  # type: ignore[assignment]


if __name__ == "__main__":
    main()
