"""Tables of Arrow's many types to tables of those that pandas and numpy have a form for, as large as is good.

What validation lets pass may still be small as Arrow and huge as anything else: a million views of one long text, a run
of a billion equal numbers.
"""

from __future__ import annotations

from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.ipc import too_large
from servery_worker.flavors import one_line

_OBJECT_BYTES = 50
"""About what Python takes for a text, a list or a decimal besides its content."""


def plain_table(table: Any, bytes_max: int) -> Any:
    """The same table, its columns of types that pandas and numpy have a form for.

    Raises:
        BadBody: a column has another type, or the table comes to more than ``bytes_max`` bytes.
    """
    import pyarrow as pa

    left, columns, fields = bytes_max, [], []
    for field, column in zip(table.schema, table.columns):
        plain = _plain_column(field.name, column, left, bytes_max)
        left -= sum(map(_weight, plain.chunks))
        if left < 0:
            raise too_large(bytes_max)
        columns.append(plain)
        fields.append(field.with_type(plain.type))
    if all(one is other for one, other in zip(columns, table.columns)):
        return table
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def _plain_column(name: str, column: Any, bytes_left: int, bytes_max: int) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = column.type, pa.types
    if isinstance(kind, pa.BaseExtensionType) and not is_tensor_type(kind):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        kind = column.type
    try:
        if _is(types, "run_end_encoded", kind) and not types.is_nested(kind.value_type):
            if sum(map(_bytes_of_runs, column.chunks)) > bytes_left:
                raise too_large(bytes_max)
            column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind.value_type)
        elif _is(types, "string_view", kind) or _is(types, "binary_view", kind):
            if sum(map(_viewed_bytes, column.chunks)) > bytes_left:
                raise too_large(bytes_max)
            column = column.cast(pa.large_string() if _is(types, "string_view", kind) else pa.large_binary())
    except pa.ArrowException as error:
        raise BadBody(f"Column {name!r} cannot be read: {one_line(error)}.") from None
    if not _is_known(column.type):
        raise BadBody(f"Column {name!r} has the Arrow type {kind}, which is not taken.")
    return column


def _bytes_of_runs(array: Any) -> int:
    """About how many bytes an array of runs comes to when each is written out."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = np.diff(array.run_ends.to_numpy(), prepend=0)
    total = int(counts.sum()) * _OBJECT_BYTES
    if not _has_length(pa.types, array.values.type):
        return total
    return total + int((counts * pc.binary_length(array.values).fill_null(0).to_numpy()).sum(dtype=np.int64))


def _viewed_bytes(array: Any) -> int:
    """How long all texts of an array of views are, many of which may show one text. A view is its length, an i32, and
    12 bytes more."""
    import numpy as np

    lengths = np.frombuffer(array.buffers()[1], np.int32)[::4][array.offset : array.offset + len(array)]
    return int(lengths[array.is_valid().to_numpy(zero_copy_only=False)].sum(dtype=np.int64))


def is_tensor_type(kind: Any) -> bool:
    """Is it the canonical extension type of arrays of one shape?"""
    return getattr(kind, "extension_name", "") == "arrow.fixed_shape_tensor"


def _is(types: Any, name: str, kind: Any) -> bool:
    """Whether a type is of that name; an older pyarrow does not know all of them."""
    test = getattr(types, f"is_{name}", None)
    return test is not None and bool(test(kind))


def _is_known(kind: Any) -> bool:
    """Whether there is a form for it here: everything but unions, views within others, intervals and what is new."""
    import pyarrow as pa

    types = pa.types
    if is_tensor_type(kind):
        return True
    if types.is_dictionary(kind):
        return not types.is_nested(kind.value_type) and _is_known(kind.value_type)
    if types.is_struct(kind):
        return all(_is_known(kind.field(place).type) for place in range(kind.num_fields))
    if types.is_map(kind):
        return _is_known(kind.key_type) and _is_known(kind.item_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_known(kind.value_type)
    if types.is_large_string(kind) or types.is_large_binary(kind) or types.is_string(kind) or types.is_binary(kind):
        return True
    return types.is_null(kind) or (types.is_primitive(kind) and not types.is_interval(kind)) or _is_fixed(types, kind)


def _is_fixed(types: Any, kind: Any) -> bool:
    return bool(types.is_fixed_size_binary(kind) or types.is_decimal(kind))


def _weight(array: Any) -> int:
    """About how many bytes an array of a known type comes to as cells of numpy or Python."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types, count = array.type, pa.types, len(array)
    if is_tensor_type(kind):
        return _weight(array.storage)
    if types.is_dictionary(kind):
        own = _weight(array.dictionary) + count * _OBJECT_BYTES
        if not _has_length(types, kind.value_type):
            return own
        return own + (pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0)
    if _has_length(types, kind):
        return count * _OBJECT_BYTES + (pc.sum(pc.binary_length(array)).as_py() or 0)
    if types.is_nested(kind):
        return count * _OBJECT_BYTES + sum(map(_weight, _children(array)))
    if types.is_fixed_size_binary(kind) or types.is_decimal(kind):
        return count * _OBJECT_BYTES + int(array.nbytes)
    return count * 8


def _children(array: Any) -> list[Any]:
    """The arrays that a nested one is made of."""
    import pyarrow as pa

    if pa.types.is_struct(array.type):
        return [array.field(place) for place in range(array.type.num_fields)]
    return [array.keys, array.items] if pa.types.is_map(array.type) else [array.flatten()]


def _has_length(types: Any, kind: Any) -> bool:
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    )
