"""The table forms ``dataframe_split``, ``dataframe_records`` and CSV to a pandas DataFrame.

Columns are cast to the signature's types as MLflow's scoring server does it (``mlflow/utils/proto_json_utils.py``),
but that a null in an optional column of integers or booleans becomes pandas' missing value.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.cells import columns_of_rows
from servery_worker.conversions import NULLABLE_DTYPES, cast, cast_nullable, describe, is_missing, is_nullable
from servery_worker.nested import conform_cell
from servery_worker.schema import NESTED_TYPES, NUMPY_NAMES, Column, ColumnType, InvalidInput, Specs, Tensor
from servery_worker.tensors import check_within, dtype_of


def frame_of_split(value: Any, specs: Specs | None) -> Any:
    """A frame of ``{"columns"?, "index"?, "data"}``.

    Raises:
        BadBody: it is no table.
        InvalidInput: a cell cannot be cast to its column's type.
    """
    import pandas as pd

    if not isinstance(value, dict):
        raise BadBody(f"'dataframe_split' is expected to be an object with 'data', got {describe(value)}.")
    unknown = [name for name in value if name not in ("columns", "index", "data")]
    if unknown or "data" not in value:
        found = ", ".join(f"'{name}'" for name in value) or "nothing"
        raise BadBody(f"'dataframe_split' is expected to have 'data', 'columns' and 'index' only; it has {found}.")
    try:
        frame = pd.DataFrame(index=value.get("index"), columns=value.get("columns"), data=value["data"])
    except Exception as error:
        raise BadBody(f"'dataframe_split' is not a table: {error}.") from None
    return _cast_frame(frame, specs, value["data"], value.get("columns"))


def frame_of_records(value: Any, specs: Specs | None) -> Any:
    """A frame of ``[{column: cell, …}, …]``; raises as ``frame_of_split``."""
    import pandas as pd

    if not isinstance(value, list):
        raise BadBody(f"'dataframe_records' is expected to be a list of objects, got {describe(value)}.")
    try:
        frame = pd.DataFrame(data=value)
    except Exception as error:
        raise BadBody(f"'dataframe_records' is not a table: {error}.") from None
    return _cast_frame(frame, specs, value)


def frame_of_csv(text: str, specs: Specs | None) -> Any:
    """A frame of CSV text with a header row. Text in binary columns is taken as it is, as MLflow does.

    MLflow refuses any CSV for a signature with a datetime or with tensors; they are cast here as in JSON.

    Raises:
        BadBody: it is no CSV, or a cell cannot be read as its column's type.
        InvalidInput: a cell cannot be cast.
    """
    import pandas as pd

    dtypes: dict[Any, Any] = {
        index if spec.name is None else spec.name: _csv_dtype(spec)
        for index, spec in enumerate(specs or ())
        if isinstance(spec, Column) and spec.type not in NESTED_TYPES and spec.type is not ColumnType.DATETIME
    }
    try:
        try:
            frame = pd.read_csv(io.StringIO(text), dtype=dtypes)
        except ValueError:
            nullable = _nullable_in_csv(text, specs)
            if not nullable:
                raise
            frame = pd.read_csv(io.StringIO(text), dtype={**dtypes, **nullable})
    except Exception as error:
        raise BadBody(f"The body is not CSV of the columns that the model takes: {error}.") from None
    for name, spec in _matched(frame, specs or ()):
        if name in frame.columns and (isinstance(spec, Tensor) or spec.type is ColumnType.DATETIME):
            sent = frame[name]
            frame[name] = _cast_column(name, sent, spec)
            if isinstance(spec, Tensor):
                _check_same_numbers(name, sent, frame[name])
    return frame


def _check_same_numbers(name: Any, sent: Any, made: Any) -> None:
    """MLflow takes no CSV for an array; here none is taken that would change a number, but for its last digits."""
    if sent.dtype.kind in "iufb" and made.dtype.kind in "iufb":
        for row, (one, other) in enumerate(zip(sent.tolist(), made.tolist())):
            exact = made.dtype.kind != "f" or abs(other) == float("inf")
            if exact and one != other and not is_missing(one):
                raise InvalidInput(f"Column {name!r}: {describe(one)} in row {row} is no {made.dtype}.")


def _csv_dtype(spec: Column) -> Any:
    return object if spec.type in (ColumnType.STRING, ColumnType.BINARY) else NUMPY_NAMES[spec.type]


def _nullable_in_csv(text: str, specs: Specs | None) -> dict[str, str]:
    """pandas' nullable types for those optional columns that have nulls."""
    import pandas as pd

    columns = [spec for spec in specs or () if isinstance(spec, Column) and is_nullable(spec)]
    dtypes = {str(column.name): NULLABLE_DTYPES[column.type] for column in columns}
    if not dtypes:
        return {}
    frame = pd.read_csv(io.StringIO(text), dtype=str)
    return {name: dtype for name, dtype in dtypes.items() if name in frame.columns and frame[name].hasnans}


def _cast_frame(frame: Any, specs: Specs | None, rows: Any, names: Any = None) -> Any:
    """``frame`` with its columns in the signature's types; ``rows`` and ``names`` are what it was made of."""
    if not specs:
        return frame
    for name, spec in _matched(frame, specs):
        if name not in frame.columns:
            continue
        if frame[name].ndim > 1:
            _check_castable(name, frame[name], spec)
        elif isinstance(spec, Column) and is_nullable(spec) and frame[name].isna().any():
            frame[name] = cast_nullable(name, columns_of_rows(rows, names)[name], spec.type)
        else:
            frame[name] = _cast_column(name, frame[name], spec)
    return frame


def _matched(frame: Any, specs: Specs) -> Iterable[tuple[Any, Any]]:
    """The columns that the signature speaks of: by name, or by place."""
    if not specs:
        return []
    if specs[0].name is not None:
        return [(spec.name, spec) for spec in specs]
    if isinstance(specs[0], Tensor):
        return [(name, specs[0]) for name in frame.columns]
    return zip(frame.columns, specs)


def _cast_column(name: Any, values: Any, spec: Column | Tensor) -> Any:
    if isinstance(spec, Tensor):
        return _cast_to_tensor(name, values, spec)
    if spec.type not in NESTED_TYPES:
        return cast(name, values, spec.type)
    if spec.type is ColumnType.ANY:
        return values
    # MLflow looks a column without a name up by its label here: the labels of a table that has none are the places.
    required = spec.required if spec.name is not None else isinstance(name, int)
    return values.map(lambda cell: conform_cell(f"Column {name!r}", cell, spec, required))


def _check_castable(name: Any, twice: Any, spec: Column | Tensor) -> None:
    """A column that is there twice will be refused for that; but a cell that cannot be cast comes first, as in MLflow,
    which cannot cast two columns of texts or times at all."""
    if isinstance(spec, Column) and spec.type in (ColumnType.STRING, ColumnType.DATETIME):
        raise InvalidInput(f"Column {name!r} is there twice.")
    for place in range(len(twice.columns)):
        _cast_column(name, twice.iloc[:, place], spec)


def _cast_to_tensor(name: Any, values: Any, tensor: Tensor) -> Any:
    import pandas as pd

    dtype = dtype_of(tensor)
    try:
        if dtype.kind == "S":
            return values.map(lambda cell: bytes(cell, "utf8"))
        if isinstance(values.iloc[0], list):
            return values  # Rows of an array; their type is settled when the array is made.
        if dtype.kind in "OU" and isinstance(values.dtype, pd.StringDtype):
            return values
        check_within(values, dtype)
        return values.astype(dtype)
    except IndexError:
        raise InvalidInput("The input has no rows.") from None
    except Exception as error:
        raise InvalidInput(f"Column {name!r}: expected {dtype}: {str(error).rstrip('.')}.") from None
