"""One column, a pandas Series, to the type its signature says.

``cast`` is what MLflow does to a frame that came as JSON or CSV: it converts what can be converted, even with loss
(1.5 is 1 for a long). ``convert_safely`` is what MLflow does to every input of ``predict``: no value may change.
Rows in messages count from 0.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

from servery_worker.schema import NUMPY_NAMES, ColumnType, InvalidInput

_TEXT_MAX = 40


def json_type(value: Any) -> str:
    """What a person would call the JSON type of ``value``."""
    if value is None:
        return "null"
    for kind, name in ((bool, "a boolean"), (str, "a string"), ((int, float), "a number"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return "an object"


def describe(value: Any) -> str:
    """A cell in a message: its type and what it is, cut where it is long."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "null"
    text = repr(value)
    text = text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
    name = json_type(value) if isinstance(value, (bool, int, float, str, list, dict)) else type(value).__name__
    return f"{name.split(' ')[-1]} {text}"


def cast(name: Any, values: Any, kind: ColumnType) -> Any:
    """``values`` as MLflow casts a column that came as text.

    Raises:
        InvalidInput: a cell has no such form; the sentence names the first.
    """
    convert = _casts(kind)
    try:
        return convert(values)
    except Exception:
        row = first_failing(values, convert)
        raise InvalidInput(
            f"Column {name!r}: expected {kind.value}, got {describe(values.iloc[row])} in row {row}."
        ) from None


def first_failing(values: Any, convert: Callable[[Any], Any]) -> int:
    """The first row whose conversion fails, found by halving."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(values.iloc[low:middle])
            low = middle
        except Exception:
            high = middle
    return low


def _casts(kind: ColumnType) -> Callable[[Any], Any]:
    import pandas as pd

    if kind is ColumnType.BINARY:
        return lambda values: values.map(lambda cell: base64.decodebytes(bytes(cell, "utf8")))
    if kind is ColumnType.DATETIME:
        return _parse_times
    if kind is ColumnType.STRING:
        # A column of nothing but strings stays in pandas' own string type, as MLflow leaves it.
        return lambda values: values if isinstance(values.dtype, pd.StringDtype) else values.astype(object)
    dtype = NUMPY_NAMES[kind]
    if kind in (ColumnType.INTEGER, ColumnType.LONG):
        return lambda values: _to_integers(values, dtype)
    return lambda values: values.astype(dtype)


def _to_integers(values: Any, dtype: str) -> Any:
    import numpy as np

    if values.dtype.kind == "f" and (values.abs() >= np.iinfo(dtype).max + 1.0).any():
        raise OverflowError  # The cast of such a float is undefined; MLflow's answer depends on the machine.
    return values.astype(dtype)


def _parse_times(values: Any) -> Any:
    import pandas as pd

    parsed = pd.to_datetime(values)
    if pd.api.types.is_datetime64_any_dtype(parsed) and getattr(parsed.dt, "unit", "ns") != "ns":
        parsed = parsed.dt.as_unit("ns")  # pandas 3 parses to microseconds; the signature's datetime is nanoseconds.
    return parsed


def convert_safely(where: str, values: Any, kind: ColumnType) -> Any:
    """``values`` in the signature's type, converted only as MLflow allows.

    Raises:
        InvalidInput: a value could change; the sentence begins with ``where``.
    """
    import numpy as np
    import pandas as pd

    if values.dtype == object and kind not in (ColumnType.BINARY, ColumnType.STRING):
        values = values.infer_objects()
    is_object, is_text = values.dtype == object, isinstance(values.dtype, pd.StringDtype)
    if kind is ColumnType.STRING and (is_object or is_text or values.dtype.kind == "U"):
        return values
    if kind is ColumnType.BINARY and (is_object or is_text or values.dtype.kind == "S"):
        return values
    if kind is ColumnType.BOOLEAN and is_object:
        return values  # Converting would make False of None.
    dtype = np.dtype(NUMPY_NAMES[kind])
    if values.dtype == dtype:
        return values
    if kind is ColumnType.DATETIME and values.dtype.kind in "MO":
        try:
            return values.astype(dtype)
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"{where}: expected datetime without a time zone, got {values.dtype}: {error}."
            ) from None
    if kind is ColumnType.DOUBLE and is_object:  # Decimals, or nothing but missing values.
        try:
            return pd.to_numeric(values)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{where}: expected double: {str(error).rstrip('.')}.") from None
    if _is_widening(values, dtype):
        return values.astype(dtype)
    raise InvalidInput(f"{where}: expected {kind.value}, got {values.dtype}{_hint(values, dtype)}.")


def _is_widening(values: Any, wanted: Any) -> bool:
    """No value changes: narrower to wider of one kind, unsigned to signed, integers to double where they fit."""
    import pandas as pd

    given = values.dtype
    if not hasattr(given, "itemsize") or given.kind not in "biufc":
        return False
    if given.kind == wanted.kind:
        return bool(given.itemsize <= wanted.itemsize)
    if given.kind == "u" and wanted.kind == "i":
        return bool(given.itemsize < wanted.itemsize)
    if given.kind in "iu" and wanted == "float64" and given.itemsize <= 4:
        return True
    # 64-bit integers are doubles only where all are 0, 1 or missing.
    return given == "int64" and wanted.kind == "f" and all(pd.isnull(cell) or cell in (0, 1) for cell in values)


def _hint(values: Any, wanted: Any) -> str:
    if values.dtype == "float64" and wanted.kind == "i" and values.hasnans:
        return "; integers with missing values are floats, so a signature for them must say double"
    return ""
