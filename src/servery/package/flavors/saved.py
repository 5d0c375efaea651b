"""What a flavor gives back when it has written a model's files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Saved:
    """A model that lies in its folder, and is still in memory.

    ``entries`` are the MLmodel's ``flavors``; ``predict`` is the model itself, from an input and params to its output,
    in the form that the guest's flavor gives it. ``takes_lists``: an example that is a list says that the model takes
    one, and not the frame that MLflow makes of it.
    """

    flavor: str
    entries: dict[str, dict[str, Any]]
    predict: Callable[[Any, Any], Any]
    takes_lists: bool = True


def is_a(model: Any, *classes: str) -> bool:
    """Whether ``model`` is an instance of one of the classes, named as ``xgboost.Booster``.

    It imports nothing: an object cannot be of a class whose module nobody has imported.
    """
    for path in classes:
        module, _, name = path.rpartition(".")
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type) and isinstance(model, found):
            return True
    return False
