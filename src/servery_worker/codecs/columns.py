"""A pyarrow table to a model's input: a pandas frame for columns, arrays for tensors.

A frame is what ``table.to_pandas()`` makes, as MLflow's scoring server reads Parquet, but for what pandas would change:
maps are objects, a null in an optional column of integers or booleans is pandas' missing value, and a column that is
encoded by a dictionary is a plain one where the signature says its type. Numbers and times without nulls are views of
the request's own memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from servery_worker.codecs.arrow import Sent
from servery_worker.codecs.plain_tables import is_tensor_type
from servery_worker.conversions import is_nullable
from servery_worker.losses import Loss, loss_of_cast
from servery_worker.schema import Column, ColumnType, InvalidInput, Specs, Tensor
from servery_worker.tensors import check_within, dtype_of


def frame_of_table(sent: Sent, specs: Specs | None) -> Any:
    """The frame; nothing is cast. Raises whatever pandas raises on metadata or values that it has no form for."""
    import pandas as pd

    table = sent.table
    names, index_names = _labels(table)
    places = [place for place, name in enumerate(table.column_names) if name not in index_names]
    direct = {place: values for place in places if (values := _direct(table.column(place), sent.memory)) is not None}
    rest = [place for place in range(table.num_columns) if place not in direct]
    options = {"maps_as_pydicts": "strict"} if "map<" in str(table.schema.types) else {}
    frame = table.select(rest).to_pandas(split_blocks=True, **options)
    others = iter(range(len(frame.columns)))
    columns = [direct[place] if place in direct else frame.iloc[:, next(others)] for place in places]
    by_name = _specs_by_place(specs, names)
    for index, (place, spec) in enumerate(zip(places, by_name)):
        columns[index] = _as_specified(columns[index], table.column(place), spec, frame.index)
    # By place, for a name may be there twice; a copy would be one of all numbers.
    made = pd.DataFrame(dict(enumerate(columns)), index=frame.index, copy=False)
    made.columns = names
    return made


def _labels(table: Any) -> tuple[Any, frozenset[str]]:
    """The names of the frame's columns, and which columns of the table are its index, as pandas left word in it."""
    import pandas as pd

    if not table.schema.pandas_metadata:
        return pd.Index(table.column_names), frozenset()
    described = table.schema.pandas_metadata["index_columns"]
    names = table.slice(0, 0).to_pandas().columns
    return names, frozenset(name for name in described if isinstance(name, str))


def _direct(column: Any, memory: Any) -> Any:
    """The values of a column of numbers or times without nulls, as an array; None for any other column."""
    import pyarrow as pa

    kind, types = column.type, pa.types
    if types.is_timestamp(kind):
        known = kind.tz is None
    else:
        known = types.is_integer(kind) or types.is_floating(kind) or types.is_duration(kind)
    return writable(_whole(column).to_numpy(zero_copy_only=False), memory) if known and not column.null_count else None


def _whole(column: Any) -> Any:
    """A column's chunks as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def writable(values: Any, memory: Any) -> Any:
    """The same values where a model may write to them: in the request's own memory where they lie there, else in a
    copy. Nobody else has either."""
    if values.flags.writeable:
        return values
    if memory is not None and values.flags.c_contiguous:
        start = values.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
        if start >= 0 and start + values.nbytes <= len(memory):
            return memory[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    return values.copy()


def _specs_by_place(specs: Specs | None, names: Any) -> list[Any]:
    """What the signature says of each column, or None."""
    if not specs or not isinstance(specs[0], Column):
        return [None] * len(names)
    if specs[0].name is None:
        return [*specs[: len(names)], *[None] * (len(names) - len(specs))]
    known = {spec.name: spec for spec in specs}
    return [known.get(name) for name in names]


def _as_specified(values: Any, column: Any, spec: Column | None, index: Any) -> Any:
    import pandas as pd
    import pyarrow as pa

    if spec is None or spec.type is ColumnType.ANY:
        return values
    kind = column.type
    if column.null_count and is_nullable(spec) and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        name = "boolean" if pa.types.is_boolean(kind) else str(kind).replace("int", "Int").replace("uI", "UI")
        dtype: Any = pd.api.types.pandas_dtype(name)
        return pd.Series(dtype.__from_arrow__(column), index=index)
    if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        return values.astype(values.cat.categories.dtype)
    return values


def has_lists(sent: Sent) -> bool:
    """Has a column lists of single values in its rows? MLflow gives a model those of Parquet as they are, whatever its
    signature says."""
    types = sent.table.schema.types if sent.table.num_rows else []
    inner = [kind.value_type for kind in types if hasattr(kind, "value_type") and "list<" in str(kind)]
    return any(not hasattr(kind, "value_type") for kind in inner)


def arrays_of_table(sent: Sent, tensors: Sequence[Tensor]) -> tuple[Any, list[Loss]]:
    """The arrays of the signature, by name, or the only one, and what was lost where a column was cast.

    One column is one array, of numbers or of lists, which are its inner dimensions; for the only array of a model its
    columns of numbers may be the places in a row instead.

    Raises:
        InvalidInput: a column has no form as an array, or cannot be cast.
    """
    table, losses = sent.table, list[Loss]()
    if tensors[0].name is None:
        return _only_array(sent, tensors[0], losses), losses
    names = table.column_names
    twice = next((tensor.name for tensor in tensors if names.count(tensor.name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"Column {twice!r} is there twice.")
    arrays = {
        tensor.name: _cast_array(tensor.name, _array_of(sent, tensor.name, tensor), tensor, losses)
        for tensor in tensors
        if tensor.name in names
    }
    return {**dict.fromkeys(names), **arrays}, losses


def _only_array(sent: Sent, tensor: Tensor, losses: list[Loss]) -> Any:
    import numpy as np

    names = sent.table.column_names
    if not names:
        raise InvalidInput("The input has no columns.")
    if len(names) == 1:
        return _cast_array(names[0], _array_of(sent, names[0], tensor), tensor, losses)
    if tensor.shape != (-1, len(names)):
        shape = "(" + ", ".join("any" if size == -1 else str(size) for size in tensor.shape) + ")"
        raise InvalidInput(f"The input has {len(names)} columns; the model takes an array of shape {shape}.")
    columns = [_whole(column).to_numpy(zero_copy_only=False) for column in sent.table.columns]
    return np.stack(columns, axis=1)


def _array_of(sent: Sent, name: Any, tensor: Tensor) -> Any:
    """A column as an array whose inner dimensions are the sizes of its lists."""
    array = _whole(sent.table.column(name))
    if is_tensor_type(array.type):
        _check_no_null(name, array)
        return writable(array.to_numpy_ndarray(), sent.memory)
    shape, inner = [len(array)], list(tensor.shape[1:])
    while hasattr(array.type, "value_type") and hasattr(array, "flatten"):
        _check_no_null(name, array)
        size = _list_size(array, inner[len(shape) - 1] if len(shape) <= len(inner) else 0)
        if size is None:
            return _ragged(sent.table.column(name))
        shape.append(size)
        array = array.flatten()
    if hasattr(array, "dictionary_decode"):
        array = array.dictionary_decode()
    values = writable(array.to_numpy(zero_copy_only=False), sent.memory)
    if tensor.shape == (-1, 1) and len(shape) == 1:
        shape.append(1)
    return values.reshape(shape)


def _check_no_null(name: Any, array: Any) -> None:
    if array.null_count:
        raise InvalidInput(f"Column {name!r} has a null where the model takes a list of numbers.")


def _list_size(array: Any, wanted: int) -> int | None:
    """How long each list is, or None where they differ; ``wanted`` where there is none at all."""
    size = getattr(array.type, "list_size", None)
    if size is not None:
        return int(size)
    lengths = array.value_lengths().to_numpy(zero_copy_only=False)
    if not len(lengths):
        return max(wanted, 0)
    return int(lengths[0]) if (lengths == lengths[0]).all() else None


def _ragged(column: Any) -> Any:
    """Lists of different lengths, as an array of arrays."""
    import numpy as np

    rows = np.empty(len(column), object)
    rows[:] = list(column.to_pandas())
    return rows


def _cast_array(name: Any, values: Any, tensor: Tensor, losses: list[Loss]) -> Any:
    """The array in the signature's dtype, as Parquet's are cast: with loss where there is no other way."""
    wanted = dtype_of(tensor)
    if values.dtype == wanted or (values.dtype.kind == "O" and wanted.kind == "O") or _is_ragged(values):
        return values
    try:
        check_within(values, wanted)
        made = values.astype(wanted)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"Column {name!r}: expected {wanted}: {str(error).rstrip('.')}.") from None
    loss = loss_of_cast(tensor.name, values, made)
    if loss is not None:
        losses.append(loss)
    return made


def _is_ragged(values: Any) -> bool:
    return values.dtype.kind == "O" and len(values) > 0 and hasattr(values.flat[0], "dtype")
