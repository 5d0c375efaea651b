"""How each framework's model is loaded: one module a flavor, found by the package's ``loader_module``.

A flavor module has ``load(directory, mlmodel) -> Loaded`` and imports its framework inside functions. To add one,
write the module and name it in ``_MODULES``.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_MODULES = {
    "mlflow.sklearn": "sklearn",
    "servery_python_model": "python_model",
}


FAILURES = (BaseException,)
"""What a model may raise without ending its worker: one that calls ``sys.exit``, or raises what is no ``Exception``,
fails its own request only."""


class LoadError(Exception):
    """A model that does not load, or answers wrong. ``str(error)`` is one sentence: the cause."""


class Loaded(NamedTuple):
    predict: Callable[[Any, Any], Any]
    """The model: input and params to the model's own output."""
    row_wise: bool | None
    """Does each row of the output depend on its row of the input alone? None: only a proof can tell."""


def load_flavor(directory: str, mlmodel: Mapping[str, Any]) -> tuple[str, Loaded]:
    """The name of a package's flavor, and its model.

    Raises:
        LoadError: there is no such flavor, or the model does not load.
    """
    entry = python_function(mlmodel)
    loader = entry.get("loader_module")
    if loader not in _MODULES:
        served = ", ".join(sorted(_MODULES))
        raise LoadError(f"The package's loader_module is {loader!r}; the ones that are served: {served}.")
    _add_code(directory, entry.get("code"))
    flavor = _MODULES[loader]
    module = importlib.import_module(f"{__name__}.{flavor}")
    return flavor, module.load(directory, mlmodel)


def python_function(mlmodel: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``python_function`` entry of an MLmodel file; raises LoadError when there is none."""
    flavors = mlmodel.get("flavors")
    entry = flavors.get("python_function") if isinstance(flavors, Mapping) else None
    if not isinstance(entry, Mapping):
        raise LoadError("The package's MLmodel file has no flavor python_function.")
    return entry


def _add_code(directory: str, code: Any) -> None:
    """The package's own code onto ``sys.path``, first; its subfolders, as older MLflow had them, last."""
    if not code:
        return
    folder = os.path.join(directory, code)
    if not os.path.isdir(folder):
        raise LoadError(f"The package has no folder {code!r}, where its MLmodel says that code lies.")
    inner = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir() and entry.name != "__pycache__")
    sys.path[:0] = [folder] if folder not in sys.path else []
    sys.path.extend(path for path in inner if path not in sys.path)


def unpickle(path: str, name: str, load: Callable[[Any], Any]) -> Any:
    """The object in a file; raises LoadError naming the file and the reason."""
    try:
        with open(path, "rb") as file:
            return load(file)
    except FileNotFoundError:
        raise LoadError(f"The package has no file {name!r}, where its MLmodel says that the model lies.") from None
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error


def one_line(error: BaseException) -> str:
    """An exception as part of a sentence: its type and what it says, without line breaks or a last full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
