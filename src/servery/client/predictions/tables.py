"""Frames and Arrow tables as Arrow IPC streams, and back, where this Python has pyarrow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from servery.errors import InvalidInput

ARROW = "application/vnd.apache.arrow.stream"
_ONLY_COLUMN = "predictions"
"""What an answer that is no table has as its only column."""
_NOTE = b"servery"
"""Where the schema's metadata says what the table was."""


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
    """An answer: what the model gave, where the table's note says what that was; else an array where its only column
    is one, or a pandas frame.

    Raises:
        ValueError: it is no Arrow stream, or not what its note says.
    """
    import pyarrow as pa
    import pyarrow.ipc

    try:
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        note = json.loads((table.schema.metadata or {}).get(_NOTE, b"null"))
        if note is None:
            note = {"kind": "array" if table.column_names == [_ONLY_COLUMN] else "frame"}
        return _as_noted(table, note)
    except (pa.ArrowException, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(str(error)) from None


def _as_noted(table: Any, note: Mapping[str, Any]) -> Any:
    """``servery_worker.codecs.answer_notes`` has what a note may say."""
    import numpy as np

    kind, columns = note["kind"], table.columns
    if kind == "frame":
        return table.to_pandas()
    if kind == "rows":
        return table.to_pylist()
    if kind == "mapping":
        values = note["values"]
        return {name: _as_noted(table.select([name]), values[name]) for name in table.column_names}
    if kind == "series":
        return columns[0].to_pandas().rename(note["name"])
    if kind == "array":
        arrays = [_array(column) for column in columns]
        array = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)
        return array if note.get("dtype") is None else array.astype(note["dtype"])
    cells = columns[0].to_pylist()
    return cells if kind == "list" else cells[0]


def _array(column: Any) -> Any:
    """Lists of a fixed size are inner dimensions."""
    import pyarrow as pa

    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # An older pyarrow makes one of a single chunk, or of none.
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    shape = [len(array)]
    while pa.types.is_fixed_size_list(array.type) and not array.null_count:
        shape.append(array.type.list_size)
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False).reshape(shape)
