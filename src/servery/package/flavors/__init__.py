"""One module a flavor: which objects it saves, and how.

A flavor has two functions:

    takes(model) -> bool             looks at the object's class only, and imports nothing
    save(model, folder) -> Saved     writes the model's files into the folder
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors import python_model, sklearn
from servery.package.flavors.saved import Saved

_FLAVORS: tuple[ModuleType, ...] = (sklearn, python_model)


def save(model: Any, folder: Path) -> Saved:
    """Write ``model`` into ``folder`` by the first flavor that takes it.

    Raises:
        InvalidInput: no flavor takes it, or it cannot be pickled.
    """
    for flavor in _FLAVORS:
        if flavor.takes(model):
            saved: Saved = flavor.save(model, folder)
            return saved
    expected = "a scikit-learn estimator, a PythonModel, an object with a predict method, or a function"
    shown = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
    raise InvalidInput("model", expected=expected, got=shown)
