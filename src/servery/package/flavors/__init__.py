"""One module a flavor: which objects it saves, and how.

A flavor has two functions:

    takes(model) -> bool             looks at the object's class only, and imports nothing
    save(model, folder) -> Saved     writes the model's files into the folder

To add one, write ``<name>.py`` here and ``<name>.py`` in ``servery_worker/flavors``; or, in a distribution of your own,
one module with both functions and the guest's ``load``, that an entry point of the group ``servery.flavors``, named
like the package's loader_module, points to.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors.saved import Saved
from servery_worker.flavors import plugins

_GENERAL = ("pytorch", "sklearn", "python_model")
"""Asked last and in this order: many frameworks' models are torch modules or scikit-learn estimators too, and most have
``predict``."""


def save(model: Any, folder: Path) -> Saved:
    """Write ``model`` into ``folder`` by the first flavor that takes it.

    Raises:
        InvalidInput: no flavor takes it, or it cannot be saved.
    """
    for flavor in _flavors():
        if flavor.takes(model):
            saved: Saved = flavor.save(model, folder)
            return saved
    expected = "a model of a framework that has a flavor, a PythonModel, an object with a predict method, or a function"
    shown = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
    raise InvalidInput("model", expected=expected, got=shown)


def _flavors() -> Iterator[ModuleType]:
    """Every flavor, the special before the general; another distribution's first."""
    for plugin in plugins():
        yield plugin.load()
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    ours = {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "takes")}
    yield from (module for name, module in ours.items() if name not in _GENERAL)
    yield from (ours[name] for name in _GENERAL)
