"""One column, a pandas Series, to the type its signature says.

``cast`` is what MLflow does to a frame that came as JSON or CSV: it converts what can be converted, even with loss
(1.5 is 1 for a long). ``convert_safely`` is what MLflow does to every input of ``predict``: no value may change.
Rows in messages count from 0.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from typing import Any

from servery_worker.schema import NUMPY_NAMES, Column, ColumnType, InvalidInput

_TEXT_MAX = 40


NULLABLE_DTYPES = {ColumnType.INTEGER: "Int32", ColumnType.LONG: "Int64", ColumnType.BOOLEAN: "boolean"}
"""pandas' types with a missing value, for the types that numpy has none for."""


def is_missing(cell: Any) -> bool:
    """Is a cell null, NaN, NaT or NA?"""
    return (
        cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and math.isnan(cell))
    )


def is_nullable(spec: Any) -> bool:
    """May the column have nulls although numpy has none for its type? MLflow refuses them there."""
    return isinstance(spec, Column) and not spec.required and spec.type in NULLABLE_DTYPES


def cast_nullable(name: Any, cells: Sequence[Any], kind: ColumnType) -> Any:
    """``cells``, some of which are null, as a pandas array with missing values; the others are cast as by ``cast``.

    Raises:
        InvalidInput: a cell has no such form.
    """
    import pandas as pd

    rows = [row for row, cell in enumerate(cells) if not is_missing(cell)]
    made: Any = pd.Series([pd.NA] * len(cells), dtype=NULLABLE_DTYPES[kind]).array
    if rows:
        made[rows] = cast(name, pd.Series([cells[row] for row in rows]), kind, rows).to_numpy()
    return made


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


def cast(name: Any, values: Any, kind: ColumnType, rows: Sequence[int] | None = None) -> Any:
    """``values`` as MLflow casts a column that came as text; ``rows`` are their places, where some are left out.

    Raises:
        InvalidInput: a cell has no such form; the sentence names the first.
    """
    convert = _casts(kind)
    try:
        return convert(values)
    except Exception:
        row = first_failing(values, convert)
        got = f"{describe(values.iloc[row])} in row {row if rows is None else rows[row]}"
        raise InvalidInput(f"Column {name!r}: expected {kind.value}, got {got}.") from None


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

    if values.dtype.kind == "f" and not is_within(values, np.dtype(dtype)):
        raise OverflowError
    return values.astype(dtype)


def is_within(floats: Any, dtype: Any) -> bool:
    """Are all of these floats within the integers of ``dtype``? The cast of another one is undefined, and MLflow's
    answer depends on the machine.
    """
    import numpy as np

    bounds = np.iinfo(dtype)
    return bool(((floats > bounds.min - 1.0) & (floats < bounds.max + 1.0) | (floats == bounds.min)).all())


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
    if kind is ColumnType.DATETIME and (is_object or values.dtype.kind == "M"):
        try:
            return values.astype(dtype)
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"{where}: expected datetime without a time zone, got {values.dtype}: {str(error).rstrip('.')}."
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
