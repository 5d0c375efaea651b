"""A table from a request's tensors: one tensor of rows and columns, whatever its name, or one tensor a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union, cast

from servery_worker.codecs.tables import Table
from servery_worker.enforcement import check_columns, listed
from servery_worker.oip import messages
from servery_worker.oip.columns import series_of
from servery_worker.oip.content_types import ContentType, text_of
from servery_worker.oip.messages import Datatype, InferRequest, InferTensor
from servery_worker.oip.raw import object_array
from servery_worker.schema import NESTED_TYPES, NUMPY_NAMES, Column, ColumnType, InvalidInput, Specs, Tensor

Kinds = Mapping[str, Union[ContentType, None]]
"""The content type of each input, by its name."""
_FRAME_DTYPES = {
    kind: NUMPY_NAMES[kind]
    for kind in (ColumnType.BOOLEAN, ColumnType.INTEGER, ColumnType.LONG, ColumnType.FLOAT, ColumnType.DOUBLE)
}
_TOLD_MAX = 5


def table_of_tensors(
    request: InferRequest, specs: Specs | None, names: Sequence[Any] | None, rows_max: int
) -> Table | None:
    """The table of plain cells that a small request is, for the fast way of ``codecs.rows``; None where it is none.

    ``names`` are those of ``specs``. What that way makes of the table is what ``model_input`` makes of the request;
    whatever it does not take is left to that.
    """
    tensors = request.inputs
    typed = "content_type" in request.parameters or any("content_type" in tensor.parameters for tensor in tensors)
    if not specs or not tensors or typed or not tensors[0].shape or not 0 < tensors[0].shape[0] <= rows_max:
        return None
    first = tensors[0]
    if len(tensors) == 1 and len(first.shape) == 2:
        if isinstance(specs[0], Tensor):
            fits = messages.NUMPY_NAMES[first.datatype] == specs[0].dtype
            return Table(None, first.data.tolist()) if fits else None
        rows = _plain_cells(first, first.shape) if first.shape[1] == len(specs) else None
        return None if rows is None else Table(names, rows)
    return _table_of_columns(tensors, specs, first.shape[0])


def _table_of_columns(tensors: Sequence[InferTensor], specs: Specs, count: int) -> Table | None:
    names = {spec.name for spec in specs}
    if not all(tensor.name in names and tensor.shape in ((count,), (count, 1)) for tensor in tensors):
        return None
    columns = [_plain_cells(tensor, (count,)) for tensor in tensors]
    if any(cells is None for cells in columns):
        return None
    return Table([tensor.name for tensor in tensors], list(map(list, zip(*cast("list[list[Any]]", columns)))))


def names_of(specs: Sequence[Column | Tensor]) -> list[Any] | None:
    """The names of all columns or tensors; None where they have none."""
    return None if specs[0].name is None else [spec.name for spec in specs]


def _plain_cells(tensor: InferTensor, shape: tuple[int, ...]) -> list[Any] | None:
    """The cells as Python's own, in lists of ``shape``; None where a text is none."""
    data = tensor.data
    if tensor.datatype is Datatype.BYTES:
        try:
            data = object_array([text_of(cell) for cell in data.ravel().tolist()])
        except UnicodeDecodeError:
            return None
    cells: list[Any] = data.reshape(shape).tolist()
    return cells


def frame_of_tensors(tensors: Sequence[InferTensor], kinds: Kinds, columns: Sequence[Column]) -> Any:
    """The frame for a signature of columns, not yet held against it."""
    import pandas as pd

    only = tensors[0] if len(tensors) == 1 else None
    if only is not None and _is_table(only, columns):
        block = _block(only, columns)
        if block is not None:
            return block
        cut = [only] if len(columns) == 1 else [_cut(only, place) for place in range(len(columns))]
        pairs = list(zip(cut, columns))
        kind = kinds[only.name]
        kinds = {tensor.name: kind for tensor in cut}
    else:
        pairs = _paired(tensors, columns)
    check_rows([tensor for tensor, _ in pairs])
    series = [series_of(tensor, kinds[tensor.name], column) for tensor, column in pairs]
    labels = [place if column.name is None else column.name for place, (_, column) in enumerate(pairs)]
    return pd.DataFrame(dict(zip(labels, series)))


def _is_table(tensor: InferTensor, columns: Sequence[Column]) -> bool:
    """Has it a value for each column in each row? A nested column's own tensor may look so by chance."""
    own = next((column for column in columns if column.name == tensor.name), None)
    is_cells = own is not None and own.type in NESTED_TYPES and len(columns) > 1
    return len(tensor.shape) == 2 and tensor.shape[1] == len(columns) and not is_cells


def _block(tensor: InferTensor, columns: Sequence[Column]) -> Any:
    """A table of one type of numbers as a frame around the array; None where it is no such one."""
    import pandas as pd

    kinds = {column.type for column in columns}
    only = kinds.pop()
    plain = _FRAME_DTYPES.get(only) if not kinds and tensor.datatype is not Datatype.BYTES else None
    if plain is None or tensor.data.dtype != plain:
        return None
    return pd.DataFrame(tensor.data, columns=names_of(columns))


def _cut(table: InferTensor, place: int) -> InferTensor:
    return InferTensor(f"{table.name}[{place}]", table.datatype, table.shape[:1], table.data[:, place])


def _paired(tensors: Sequence[InferTensor], columns: Sequence[Column]) -> list[tuple[InferTensor, Column]]:
    """Each tensor with its column: by name, or by place where the columns have none."""
    if columns[0].name is None:
        if len(tensors) != len(columns):
            what = f"one tensor of shape [rows, {len(columns)}], or one a column"
            raise InvalidInput(f"The model takes {len(columns)} columns, {what}; got {told(tensors)}.")
        return list(zip(tensors, columns))
    by_name = {column.name: column for column in columns}
    check_known(tensors, list(by_name), f"a table of shape [rows, {len(columns)}]")
    check_columns([tensor.name for tensor in tensors], columns)
    return [(tensor, by_name[tensor.name]) for tensor in tensors]


def check_known(tensors: Sequence[InferTensor], names: Sequence[Any], otherwise: str) -> None:
    for tensor in tensors:
        if tensor.name not in names:
            raise InvalidInput(
                f"Input {tensor.name!r} of shape {list(tensor.shape)} is none of the model's, {listed(names)}, "
                f"and is not {otherwise}."
            )


def check_rows(tensors: Sequence[InferTensor]) -> None:
    """Raises InvalidInput unless all have as many rows."""
    for tensor in tensors:
        if not tensor.shape:
            raise InvalidInput(f"Input {tensor.name!r}: expected a shape [rows] or [rows, values], got [].")
        if tensor.shape[0] != tensors[0].shape[0]:
            raise InvalidInput(f"The inputs are expected to have as many rows each; got {told(tensors)}.")


def told(tensors: Sequence[InferTensor]) -> str:
    shown = ", ".join(f"{tensor.name!r} of shape {list(tensor.shape)}" for tensor in tensors[:_TOLD_MAX])
    return f"{shown} and {len(tensors) - _TOLD_MAX} more" if len(tensors) > _TOLD_MAX else shown
