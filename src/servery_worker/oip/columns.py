"""One tensor, or a column of one, as the type that a signature says: converted where no value changes.

A number that is rounded to the precision of its type has not changed; rows in messages count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from servery_worker.codecs.json_text import load_json
from servery_worker.conversions import cast, cast_nullable, describe, is_missing, is_nullable
from servery_worker.oip.content_types import ContentType, cells_of, text_of
from servery_worker.oip.messages import Datatype, InferTensor
from servery_worker.oip.raw import cell_bytes, object_array
from servery_worker.schema import NESTED_TYPES, NUMPY_NAMES, Column, ColumnType, InvalidInput, Tensor
from servery_worker.tensors import dtype_of

_TEXT_ARRAY_BYTES_MAX = 64 << 20
"""numpy gives every text of an array the room of the longest; beyond this they stay objects."""


def series_of(tensor: InferTensor, kind: ContentType | None, column: Column) -> Any:
    """The pandas Series of a tensor of one column; a nested type's cells are read from JSON text, or are rows.

    Raises:
        BadBody, InvalidInput: it cannot become one; the sentence names the column.
    """
    import pandas as pd

    name = tensor.name if column.name is None else column.name
    where = f"Column {name!r}"
    if column.type in NESTED_TYPES:
        return pd.Series(nested_cells(where, tensor, kind), dtype=object)
    if tensor.data.size != len(tensor.data):
        shape = list(tensor.shape)
        raise InvalidInput(f"{where}: expected one value a row, a shape [rows] or [rows, 1], got {shape}.")
    if tensor.datatype is not Datatype.BYTES:
        return pd.Series(_numbers(where, name, tensor.data.ravel(), column))
    cells = cells_of(tensor, kind)
    if column.type is ColumnType.BINARY:
        return pd.Series([None if cell is None else cell_bytes(cell) for cell in cells], dtype=object)
    if column.type is ColumnType.STRING:
        return pd.Series(texts(where, cells)) if cells else pd.Series(cells, dtype=object)
    if column.type is ColumnType.DATETIME:
        moments = cells if kind is ContentType.DATETIME else texts(where, cells)
        return cast(name, pd.Series(moments, dtype=object), column.type)
    raise InvalidInput(f"{where}: expected {column.type.value}, got BYTES.")


def _numbers(where: str, name: Any, values: Any, column: Column) -> Any:
    import numpy as np
    import pandas as pd

    kind = column.type
    if kind in (ColumnType.STRING, ColumnType.BINARY):
        raise InvalidInput(f"{where}: expected {kind.value}, which is BYTES, got {values.dtype}.")
    if kind is ColumnType.DATETIME:
        return cast(name, pd.Series(values), kind)
    dtype = np.dtype(NUMPY_NAMES[kind])
    missing = [row for row, cell in enumerate(values.tolist()) if is_missing(cell)] if _may_lack(values) else []
    if missing and is_nullable(column):
        present = [row for row in range(len(values)) if row not in set(missing)]
        fitting = fitted(where, values[present].astype(dtype if values.dtype == object else values.dtype), dtype)
        cells: list[Any] = [None] * len(values)
        for row, cell in zip(present, fitting.tolist()):
            cells[row] = cell
        return cast_nullable(name, cells, kind)
    return fitted(where, values, dtype)


def _may_lack(values: Any) -> bool:
    import numpy as np

    return values.dtype == object or (values.dtype.kind == "f" and bool(np.isnan(values).any()))


def fitted(where: str, values: Any, dtype: Any) -> Any:
    """Numbers or booleans as ``dtype``; raises InvalidInput where one would change."""
    import numpy as np

    if values.dtype == dtype:
        return values
    if values.dtype == object:
        row = next(row for row, cell in enumerate(values.ravel().tolist()) if cell is None)
        raise InvalidInput(f"{where}: expected {dtype}, got null in row {row}.")
    with np.errstate(over="ignore", invalid="ignore"):
        made = values.astype(dtype)
    if dtype.kind == "f":
        kept = ~np.isinf(made) | np.isinf(values)
    elif dtype.kind in "iu":
        kept = _are_within(values, dtype) & (np.trunc(values) == values)
    else:
        kept = made == values
    if not np.all(kept):
        row = int(np.argmin(kept.ravel()))
        raise InvalidInput(f"{where}: expected {dtype}, got {describe(values.ravel()[row])} in row {row}.")
    return made


def _are_within(values: Any, dtype: Any) -> Any:
    """Which numbers are within the integers of ``dtype``; a bound is compared as what ``values`` can hold."""
    import numpy as np

    bounds = np.iinfo(dtype)
    if values.dtype.kind == "f":
        return (values >= float(bounds.min)) & (values < bounds.max + 1.0)
    own = np.iinfo(values.dtype) if values.dtype.kind in "iu" else bounds
    return (values >= max(bounds.min, own.min)) & (values <= min(bounds.max, own.max))


def nested_cells(where: str, tensor: InferTensor, kind: ContentType | None) -> list[Any]:
    """The cells of a nested column: of BYTES, one JSON text each; of anything else, and of more values a row, the rows.

    Raises:
        InvalidInput: a cell is no JSON text; the sentence begins with ``where``.
    """
    if tensor.datatype is not Datatype.BYTES:
        rows: list[Any] = tensor.data.tolist()
        return rows
    cells = cells_of(tensor, kind)
    if len(cells) != len(tensor.data):
        return texts_array(texts(where, cells), tensor.shape).tolist()  # type: ignore[no-any-return]
    made = []
    for row, cell in enumerate(cells):
        try:
            made.append(None if cell is None else load_json(cell_bytes(cell)))
        except ValueError:
            raise InvalidInput(f"{where}: expected JSON text, got {describe(cell)} in row {row}.") from None
    return made


def texts(where: str, cells: Sequence[Any]) -> list[Any]:
    """Cells of BYTES as text; raises InvalidInput where one is no UTF-8."""
    made = []
    for row, cell in enumerate(cells):
        try:
            made.append(text_of(cell))
        except UnicodeDecodeError:
            raise InvalidInput(f"{where}: expected UTF-8 text, got {describe(cell)} in row {row}.") from None
    return made


def texts_array(cells: list[Any], shape: tuple[int, ...]) -> Any:
    """Texts as numpy makes an array of them; of objects where one is none, or where they would take too much room."""
    import numpy as np

    is_text = all(type(cell) is str for cell in cells)
    longest = max(map(len, cells), default=0) if is_text else 0
    if is_text and cells and 4 * longest * len(cells) <= _TEXT_ARRAY_BYTES_MAX:
        return np.array(cells).reshape(shape)
    return object_array(cells).reshape(shape)


def array_of(tensor: InferTensor, kind: ContentType | None, wanted: Tensor) -> Any:
    """The array that a tensor signature asks for, of its dtype; the shape is as it came.

    Raises:
        BadBody, InvalidInput: it cannot become one; the sentence names the input.
    """
    import numpy as np

    where = "The input" if wanted.name is None else f"Input {wanted.name!r}"
    dtype = dtype_of(wanted)
    if tensor.datatype is not Datatype.BYTES:
        if dtype.kind in "US":
            raise InvalidInput(f"{where}: expected {dtype.name}, which is BYTES, got {tensor.datatype.value}.")
        return tensor.data.astype(dtype) if dtype.kind in "OMmc" else fitted(where, tensor.data, dtype)
    cells = cells_of(tensor, kind)
    if dtype.kind == "S":
        return np.array([cell_bytes(cell) for cell in cells], dtype).reshape(tensor.shape)
    if dtype.kind == "O":
        return object_array(plain_texts(cells)).reshape(tensor.shape)
    if dtype.kind == "U":
        return np.array(texts(where, cells), dtype).reshape(tensor.shape)
    if dtype.kind == "M":
        try:
            return np.array(texts(where, cells), dtype).reshape(tensor.shape)
        except ValueError as error:
            raise InvalidInput(f"{where}: expected {dtype}: {str(error).rstrip('.')}.") from None
    raise InvalidInput(f"{where}: expected {dtype}, got BYTES.")


def plain_texts(cells: list[Any]) -> list[Any]:
    """Text where all of the cells are UTF-8, and else the bytes that they are: no type says which is meant."""
    try:
        return [text_of(cell) for cell in cells]
    except UnicodeDecodeError:
        return [None if cell is None else cell_bytes(cell) for cell in cells]
