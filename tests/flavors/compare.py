"""Two answers, held against each other: the one that stock mlflow gave, and the one that Servery gave."""

from __future__ import annotations

import math
from typing import Any

_NEW_EACH_TIME = frozenset({"id", "created"})
"""Of OpenAI's objects, which name themselves by the field ``object``."""


def difference(wanted: Any, given: Any, tolerance: float, where: str = "it") -> str | None:
    """Where two JSON values differ first; None when they are equal.

    mlflow writes the bare ``NaN``, for which Servery writes null. Numbers may lie apart by ``tolerance`` of their size,
    and as much of one for those near zero.
    """
    if isinstance(wanted, float) and not math.isfinite(wanted):
        return None if given is None or repr(given) == repr(wanted) else f"{where} is {given!r}, not null"
    if isinstance(wanted, dict) and isinstance(given, dict):
        if wanted.keys() != given.keys():
            return f"{where} has the keys {sorted(given)}, not {sorted(wanted)}"
        left_out = _NEW_EACH_TIME if "object" in wanted else frozenset()
        pairs = [(wanted[key], given[key], f"{where}.{key}") for key in wanted if key not in left_out]
    elif isinstance(wanted, list) and isinstance(given, list):
        if len(wanted) != len(given):
            return f"{where} has {len(given)} entries, not {len(wanted)}"
        pairs = [(*pair, f"{where}[{index}]") for index, pair in enumerate(zip(wanted, given, strict=True))]
    elif isinstance(wanted, int | float) and isinstance(given, int | float) and bool not in (type(wanted), type(given)):
        near = math.isclose(wanted, given, rel_tol=tolerance, abs_tol=tolerance)
        return None if near else f"{where} is {given!r}, not {wanted!r}"
    else:
        return None if type(wanted) is type(given) and wanted == given else f"{where} is {given!r}, not {wanted!r}"
    found = (difference(one, other, tolerance, place) for one, other, place in pairs)
    return next((text for text in found if text is not None), None)
