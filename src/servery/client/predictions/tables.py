"""Frames and Arrow tables as Arrow IPC streams, and back, where this Python has pyarrow."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from servery.errors import InvalidInput

ARROW = "application/vnd.apache.arrow.stream"
ONLY_COLUMN = "predictions"
"""What an answer that is no table has as its only column."""


def is_frame(data: Any) -> bool:
    """A pandas DataFrame, known by what it can do."""
    return hasattr(data, "to_dict") and hasattr(data, "columns") and hasattr(data, "iloc")


def is_arrow(data: Any) -> bool:
    """A table, a record batch or a reader of batches, of pyarrow or of whatever else speaks Arrow's C interface."""
    speaks = hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")
    return speaks and hasattr(data, "schema") and not is_frame(data)


def has_pyarrow() -> bool:
    return find_spec("pyarrow") is not None


def table_of(data: Any) -> Any:
    """The pyarrow table of a frame or of Arrow data. A reader is read to its end.

    Raises:
        InvalidInput: pyarrow has no form for it, or is not there.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise InvalidInput(
            "data", expected="a pandas frame, where there is no pyarrow", got=type(data).__name__
        ) from None
    try:
        return pa.Table.from_pandas(data) if is_frame(data) else pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidInput("data", expected="columns of one type each", got=str(error)) from None


def encode_table(table: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.ipc

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode_table(body: bytes) -> Any:
    """An answer: an array where its only column is one, and else a pandas frame.

    Raises:
        ValueError: it is no Arrow stream.
    """
    import pyarrow as pa
    import pyarrow.ipc

    try:
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    if table.column_names == [ONLY_COLUMN]:
        return _array(table.column(0).combine_chunks())
    return table.to_pandas()


def _array(column: Any) -> Any:
    """Lists of a fixed size are inner dimensions."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    shape = [len(column)]
    while pa.types.is_fixed_size_list(column.type) and not column.null_count:
        shape.append(column.type.list_size)
        column = column.flatten()
    return column.to_numpy(zero_copy_only=False).reshape(shape)
