"""The table forms ``dataframe_split``, ``dataframe_records`` and CSV to a pandas DataFrame.

Columns are cast to the signature's types as MLflow's scoring server does it (``mlflow/utils/proto_json_utils.py``).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.conversions import cast, describe
from servery_worker.enforcement import check_columns
from servery_worker.nested import conform_cell
from servery_worker.schema import NESTED_TYPES, NUMPY_NAMES, Column, ColumnType, InvalidInput, Specs, Tensor
from servery_worker.tensors import dtype_of


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
    return _cast_frame(frame, specs)


def frame_of_records(value: Any, specs: Specs | None) -> Any:
    """A frame of ``[{column: cell, …}, …]``; raises as ``frame_of_split``."""
    import pandas as pd

    if not isinstance(value, list):
        raise BadBody(f"'dataframe_records' is expected to be a list of objects, got {describe(value)}.")
    try:
        frame = pd.DataFrame(data=value)
    except Exception as error:
        raise BadBody(f"'dataframe_records' is not a table: {error}.") from None
    return _cast_frame(frame, specs)


def frame_of_csv(text: str, specs: Specs | None) -> Any:
    """A frame of CSV text with a header row. Text in binary columns is taken as it is, as MLflow does.

    Raises:
        BadBody: it is no CSV, or a cell cannot be read as its column's type.
    """
    import pandas as pd

    dtypes: dict[Any, Any] = {}
    times: list[Any] = []
    for index, spec in enumerate(specs or ()):
        if isinstance(spec, Column) and spec.type is ColumnType.DATETIME:
            times.append(index if spec.name is None else spec.name)
        elif isinstance(spec, Column) and spec.type not in NESTED_TYPES:
            is_object = spec.type in (ColumnType.STRING, ColumnType.BINARY)
            dtypes[index if spec.name is None else spec.name] = object if is_object else NUMPY_NAMES[spec.type]
    try:
        frame = pd.read_csv(io.StringIO(text), dtype=dtypes)
    except Exception as error:
        raise BadBody(f"The body is not CSV of the columns that the model takes: {error}.") from None
    for name in times:
        if name in frame.columns:
            frame[name] = cast(name, frame[name], ColumnType.DATETIME)
    return frame


def _cast_frame(frame: Any, specs: Specs | None) -> Any:
    if not specs:
        return frame
    columns = [spec for spec in specs if isinstance(spec, Column)]
    if columns and columns[0].name is not None:
        check_columns(list(frame.columns), columns)
    for name, spec in _matched(frame, specs):
        if name in frame.columns:
            frame[name] = _cast_column(name, frame[name], spec)
    return frame


def _matched(frame: Any, specs: Specs) -> Iterable[tuple[Any, Any]]:
    """The columns that the signature speaks of: by name, or by place."""
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
    return values.map(lambda cell: conform_cell(f"Column {name!r}", cell, spec))


def _cast_to_tensor(name: Any, values: Any, tensor: Tensor) -> Any:
    import pandas as pd

    dtype = dtype_of(tensor)
    if len(values) and isinstance(values.iloc[0], list):
        return values  # Rows of an array; their type is settled when the array is made.
    if dtype.kind in "OU" and isinstance(values.dtype, pd.StringDtype):
        return values
    try:
        if dtype.kind == "S":
            return values.map(lambda cell: bytes(cell, "utf8"))
        return values.astype(dtype)
    except Exception as error:
        raise InvalidInput(f"Column {name!r}: expected {dtype}: {error}.") from None
