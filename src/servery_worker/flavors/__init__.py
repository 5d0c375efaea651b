"""How each framework's model is loaded: one module a flavor, found by the package's ``loader_module``.

A flavor module has ``load(directory, mlmodel) -> Loaded`` and imports its framework inside functions. To add one,
write ``<name>.py`` here, for the packages whose loader_module is ``mlflow.<name>``; or, in a distribution of your own,
a module that an entry point of the group ``servery.flavors``, named like the loader_module, points to. Every other
package is loaded by the module that it names (``loader_module.py``).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

PLUGINS = "servery.flavors"
"""The group of entry points; the host looks there, too, for what else it can save."""
_OWN = "mlflow."

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
    stream: Callable[[Any, Any], Any] | None = None
    """The same in pieces, from one input: to an iterator over chunks, which may be asynchronous."""


def load_flavor(directory: str, mlmodel: Mapping[str, Any]) -> tuple[str, Loaded]:
    """The name of a package's flavor, and its model.

    Raises:
        LoadError: the model does not load.
    """
    entry = python_function(mlmodel)
    loader = entry.get("loader_module")
    if not isinstance(loader, str) or not loader:
        raise LoadError("The package's MLmodel file names no loader_module.")
    _add_code(directory, entry.get("code"))
    module = _find(loader)
    return module.__name__.rpartition(".")[2], module.load(directory, mlmodel)


def _find(loader: str) -> ModuleType:
    name = loader[len(_OWN) :] if loader.startswith(_OWN) else ""
    places = (f"{name}.py", os.path.join(name, "__init__.py"))
    if name.isidentifier() and any(os.path.isfile(os.path.join(os.path.dirname(__file__), place)) for place in places):
        return importlib.import_module(f"{__name__}.{name}")
    for plugin in plugins():
        if plugin.name == loader:
            try:
                found: ModuleType = plugin.load()
            except Exception as error:
                raise LoadError(f"The flavor plugin {plugin.value!r} cannot be imported: {one_line(error)}.") from error
            return found
    return importlib.import_module(f"{__name__}.loader_module")


def plugins() -> list[Any]:
    """The entry points of flavors that other distributions bring, sorted by name."""
    found: Any = importlib.metadata.entry_points()
    # Python 3.9 gives a dict of the groups.
    chosen = found.select(group=PLUGINS) if hasattr(found, "select") else found.get(PLUGINS, ())
    return sorted(chosen, key=lambda entry: str(entry.name))


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


def framework(name: str, needed_by: str) -> Any:
    """The module ``name``, imported; raises LoadError that says what lacks it."""
    try:
        # As an import statement does it, so that whoever finds out what the model requires sees who asked.
        __import__(name)
        return sys.modules[name]
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == name.partition(".")[0]:
            raise LoadError(f"The model in {needed_by!r} needs {name}, which its environment does not have.") from None
        raise LoadError(f"The model in {needed_by!r} needs {name}, which does not import: {one_line(error)}.") from None


def unpickle(path: str, name: str, load: Callable[[Any], Any]) -> Any:
    """The object in a file; raises LoadError naming the file and the reason."""
    check_there(path, name)
    try:
        with open(path, "rb") as file:
            return load(file)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error


def check_there(path: str, name: str) -> None:
    """Raises LoadError where the package lacks the file or folder ``path``, which it calls ``name``."""
    if not os.path.exists(path):
        raise LoadError(f"The package has no file {name!r}, where its MLmodel says that the model lies.")


def one_line(error: BaseException) -> str:
    """An exception as part of a sentence: its type and what it says, without line breaks or a last full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
