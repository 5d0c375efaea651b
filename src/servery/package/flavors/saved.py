"""What a flavor gives back when it has written a model's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Saved:
    """A model that lies in its folder, and is still in memory.

    ``entries`` are the MLmodel's ``flavors``; ``predict`` is the model itself, from an input and params to its output.
    """

    flavor: str
    entries: dict[str, dict[str, Any]]
    predict: Callable[[Any, Any], Any]
