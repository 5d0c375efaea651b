"""Whether a value is a table of pandas: asked without importing it, for models of arrays do without."""

from __future__ import annotations

import sys
from typing import Any


def is_frame(value: Any) -> bool:
    return _is("DataFrame", value)


def is_series(value: Any) -> bool:
    return _is("Series", value)


def _is(name: str, value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, getattr(pandas, name))
