"""What a model returned, as a table: an Arrow IPC stream, or Parquet.

A frame is its columns, a dict a column for each key, and everything else one column, ``predictions`` unless the
signature names its only output. The inner dimensions of an array are lists of a fixed size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from servery_worker.codecs.answer_notes import noted
from servery_worker.codecs.arrow import pyarrow_for
from servery_worker.codecs.arrow_types import has_map, spec_of, type_of, with_pairs
from servery_worker.codecs.json_text import Unencodable
from servery_worker.flavors import one_line
from servery_worker.kinds import is_frame, is_series
from servery_worker.schema import Column, Specs
from servery_worker.wire import AnswerType

ONLY_COLUMN = "predictions"


def writer_of(answer_type: int, outputs: Specs | None) -> Callable[[Any], tuple[bytes, int]]:
    """How a model's output is written as a table; see ``calls.Write``.

    Raises:
        LacksLibrary: the model's environment has no pyarrow.
    """
    pyarrow_for("answer with Arrow or Parquet")
    write = _as_stream if answer_type == AnswerType.ARROW else _as_parquet
    return lambda output: (write(table_of_output(output, outputs)), 0)


def table_of_output(output: Any, outputs: Specs | None = None) -> Any:
    """A model's output as a pyarrow table; ``outputs`` is what its signature says of it.

    Raises:
        Unencodable: it has no form as a table.
    """
    import pyarrow as pa

    if isinstance(output, (pa.Table, pa.RecordBatch)):
        return output if isinstance(output, pa.Table) else pa.Table.from_batches([output])
    specs = {spec.name: spec_of(spec) for spec in outputs or () if isinstance(spec, Column)}
    if is_frame(output):
        return noted(_table_of_frame(output, specs), output)
    names = [spec.name for spec in outputs or () if spec.name is not None]
    columns = _columns_of(output, names)
    arrays = [_column(name, values, specs.get(name)) for name, values in columns.items()]
    lengths = {str(name): len(array) for name, array in zip(columns, arrays)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} has {length}" for name, length in list(lengths.items())[:10])
        raise Unencodable(f"its columns have different lengths: {found}")
    return noted(pa.Table.from_arrays(arrays, list(map(str, columns))), output)


def _columns_of(output: Any, names: Sequence[str]) -> Mapping[Any, Any]:
    """The columns of an output that is no frame; ``names`` are those of the signature's outputs."""
    import numpy as np

    only = names[0] if len(names) == 1 else ONLY_COLUMN
    if is_series(output):
        return {only if output.name is None else output.name: output}
    if isinstance(output, Mapping):
        return _columns_of_mapping(output)
    if isinstance(output, np.ndarray):
        if output.ndim == 2 and len(names) == output.shape[1] > 1:
            return {name: output[:, place] for place, name in enumerate(names)}
        return {only: output if output.ndim else output.reshape(1)}
    if isinstance(output, (list, tuple)):
        if output and all(isinstance(row, Mapping) for row in output):
            return {key: [row.get(key) for row in output] for key in dict.fromkeys(k for row in output for k in row)}
        return {only: output}
    return {only: [output]}


def _columns_of_mapping(output: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A column for each key; one row where none of the values has a length."""
    import numpy as np

    def is_column(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple)) or is_series(value) or (isinstance(value, np.ndarray) and value.ndim > 0)
        )

    single = [name for name, value in output.items() if not is_column(value)]
    if len(single) == len(output):
        return {name: [value] for name, value in output.items()}
    if single:
        raise Unencodable(f"{single[0]!r} is a single value beside columns")
    return output


def _table_of_frame(frame: Any, specs: Mapping[Any, Mapping[str, Any]]) -> Any:
    """As ``pyarrow.Table.from_pandas`` makes it, without the labels of the rows."""
    import pyarrow as pa

    names = [str(label) for label in frame.columns]
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except Exception:  # It does not tell which column is at fault, and takes no name twice.
        columns = [_column(name, frame.iloc[:, place], specs.get(name)) for place, name in enumerate(names)]
        return pa.Table.from_arrays(columns, names)
    for place, name in enumerate(names):
        spec = specs.get(name)
        if spec is not None and (has_map(spec) or pa.types.is_null(table.column(place).type)):
            table = table.set_column(place, name, _column(name, frame.iloc[:, place], spec))
    return table


def _column(name: Any, values: Any, spec: Mapping[str, Any] | None) -> Any:
    try:
        array = _array_of(values) if spec is None else _array_by_spec(values, spec)
        known = None if spec is None or str(array.type) != "null" else type_of(spec)
        return array if known is None else array.cast(known)
    except Exception as error:
        # pyarrow shows the value itself first, which may be anything.
        reason = one_line(error).rpartition(" with type ")[2]
        raise Unencodable(f"{str(name)!r} is no column of one type: {reason}") from None


def _array_by_spec(values: Any, spec: Mapping[str, Any]) -> Any:
    """As the cells have it, where they tell of what type they are."""
    import pyarrow as pa

    if not has_map(spec):
        try:
            return _array_of(values)
        except pa.ArrowException:
            pass
    return pa.array([with_pairs(cell, spec) for cell in values], type_of(spec))


def _array_of(values: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    if is_series(values):
        return pa.Array.from_pandas(_plain_cells(values) if values.dtype == object else values)
    if not isinstance(values, np.ndarray):
        return pa.array(_plain_cells(values))
    if values.dtype.kind == "O":
        return pa.array(_plain_cells(values.tolist()))
    if values.ndim == 1:
        return pa.array(values)
    return _array_of_lists(values)


def _array_of_lists(values: Any) -> Any:
    """An array of several dimensions, the inner ones as lists of a fixed size; no copy where it is contiguous."""
    import pyarrow as pa

    array = pa.array(values.reshape(-1))
    if values.size == 0:  # The sizes cannot be told from the values.
        kind = array.type
        for size in reversed(values.shape[1:]):
            kind = pa.list_(kind, size)
        return pa.array(values.tolist(), kind)
    for size in reversed(values.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _plain_cells(cells: Sequence[Any]) -> Any:
    """Cells that pyarrow takes: an array of more than one dimension as lists of lists."""
    import numpy as np

    if any(isinstance(cell, np.ndarray) and cell.ndim != 1 for cell in cells):
        return [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]
    return cells


def _as_stream(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _as_parquet(table: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())
