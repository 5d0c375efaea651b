"""A fresh process that loads a package and proves it on its example, as a worker does, to see what that needs.

Run as ``python -P -m servery.package.probe FOLDER [MODULE...]`` with the parsed MLmodel as JSON on its input. The named
top-level modules are hidden, as if they were not installed. It writes one JSON object: ``importers``, for each
top-level module that was imported for the model those that asked for it, and ``error``, a sentence or null.
It imports the guest and the standard library only, so that what it finds is the model's.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from servery_worker.watch import hide


def main() -> None:
    # What a model prints goes to the error output; the answer has the output for itself.
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    folder, mlmodel = sys.argv[1], json.load(sys.stdin)
    before = set(sys.modules)
    hide(sys.argv[2:])
    importers = _watch_imports()
    try:
        error = _try_model(folder, mlmodel)
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    modules = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
    with answer:
        json.dump({"importers": {name: sorted(importers.get(name, ())) for name in modules}, "error": error}, answer)


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


def _watch_imports() -> Mapping[str, set[str]]:
    """From now on, who imports what, by top-level names; unpickling imports in the name of who unpickles.

    The guest uses orjson where it finds it, and needs it nowhere, so it does not find it; a model still does.
    """
    real_import = builtins.__import__
    importers: dict[str, set[str]] = {}

    def watched(name: str, globals: Mapping[str, Any] | None = None, *rest: Any, **named: Any) -> Any:  # noqa: A002
        importer = str((globals or {}).get("__name__", "")).partition(".")[0]
        if name == "orjson" and importer == "servery_worker":
            raise ImportError(name)
        importers.setdefault(name.partition(".")[0], set()).add(importer)
        return real_import(name, globals, *rest, **named)

    builtins.__import__ = watched
    return importers


if __name__ == "__main__":
    main()
