"""One model of the matrix: how it is trained, how stock mlflow saves it, and what its callers send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A model, in the module ``tests/flavors/cases/<flavor>.py`` whose ``cases()`` lists it.

    Attributes:
        name: unique in its flavor, for people: "booster, ubj".
        model: trains it on real data and gives the object that people save. Called once.
        save: saves the object with stock mlflow into the new folder, with a signature or without.
        inputs: what callers send, each an input or a tuple of an input and a dict of params. The first one is the
            example that ``servery.save_model`` is given.
        ours: whether ``servery.save_model`` takes the object, too.
        tolerance: how far floats may lie apart, as a share of their size.
    """

    name: str
    model: Callable[[], Any]
    save: Callable[[Any, str], None]
    inputs: Callable[[], Sequence[Any]]
    ours: bool = True
    tolerance: float = 1e-6
