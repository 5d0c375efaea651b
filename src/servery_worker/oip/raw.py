"""A tensor's raw form: its elements one after another, in row-major order, little-endian.

A boolean takes one byte; an element of BYTES is its length, u32, and that many bytes; BF16 is the upper half of a
float32. Source: Triton's ``extension_binary_data.md`` and the comments of ``open_inference_grpc.proto``.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Union

from servery_worker.codecs.bodies import BadBody
from servery_worker.oip.messages import NUMPY_NAMES, Datatype

Buffer = Union[bytes, memoryview]

EMPTY_SIZES_MAX = 1 << 20
"""What the other sizes of a tensor without elements may come to: as nested lists, they would be that many."""
_RANK_MAX = 32
_LENGTH = struct.Struct("<I")


def count_of(where: str, shape: tuple[int, ...]) -> int:
    """How many elements a shape has; raises BadBody where it is none, or stands for more than it holds."""
    if len(shape) > _RANK_MAX:
        raise BadBody(f"{where}: expected a shape of at most {_RANK_MAX} sizes, got {len(shape)}.")
    if min(shape, default=0) < 0:
        raise BadBody(f"{where}: expected a shape of sizes from 0 on, got {list(shape)}.")
    count = math.prod(shape)
    if not count and math.prod(size or 1 for size in shape) > EMPTY_SIZES_MAX:
        raise BadBody(f"{where}: the shape {list(shape)} is too large for a tensor without elements.")
    return count


def read_raw(where: str, datatype: Datatype, shape: tuple[int, ...], raw: Buffer) -> Any:
    """The numpy array of ``shape`` that ``raw`` holds, of the dtype that NUMPY_NAMES says.

    Raises:
        BadBody: the sizes do not add up; the sentence begins with ``where``.
    """
    import numpy as np

    count = count_of(where, shape)
    if datatype is Datatype.BYTES:
        return _read_bytes(where, count, raw).reshape(shape)
    dtype = np.dtype("<u2" if datatype is Datatype.BF16 else NUMPY_NAMES[datatype]).newbyteorder("<")
    wanted = count * dtype.itemsize
    if len(raw) != wanted:
        what = f"{wanted} bytes for {datatype.value} of the shape {list(shape)}"
        raise BadBody(f"{where}: expected {what}, got {len(raw)} bytes.")
    array = np.frombuffer(raw, dtype).copy()  # Aligned, and the model's own to write to.
    if datatype is Datatype.BF16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    elif datatype is Datatype.BOOL and (array.view(np.uint8) > 1).any():
        raise BadBody(f"{where}: expected booleans of one byte, 0 or 1, got {array.view(np.uint8).max()}.")
    return array.reshape(shape)


def _read_bytes(where: str, count: int, raw: Buffer) -> Any:

    view = memoryview(raw)
    if count * _LENGTH.size > len(view):
        raise BadBody(f"{where}: expected {count} elements with their lengths, got {len(view)} bytes in all.")
    cells: list[bytes] = []
    position = 0
    for _ in range(count):
        start = position + _LENGTH.size
        end = start + _LENGTH.unpack_from(view, position)[0] if start <= len(view) else start
        if end > len(view):
            raise BadBody(f"{where}: element {len(cells)} of {count} ends after the {len(view)} bytes that there are.")
        cells.append(bytes(view[start:end]))
        position = end
    if position != len(view):
        raise BadBody(f"{where}: its {count} elements take {position} bytes, and there are {len(view)}.")
    return object_array(cells)


def write_raw(datatype: Datatype, array: Any) -> bytes:
    """The raw form of an array as ``read_raw`` gives it; text is written as UTF-8, a missing cell as no bytes."""
    import numpy as np

    if datatype is Datatype.BYTES:
        cells = [cell_bytes(cell) for cell in array.ravel().tolist()]
        return b"".join(part for cell in cells for part in (_LENGTH.pack(len(cell)), cell))
    if datatype is Datatype.BF16:
        halves: bytes = _rounded_halves(array).tobytes()
        return halves
    dtype = np.dtype(NUMPY_NAMES[datatype]).newbyteorder("<")
    return np.ascontiguousarray(array, dtype).tobytes()


def _rounded_halves(array: Any) -> Any:
    """float32 to the nearest BF16, ties to even; a NaN stays one."""
    import numpy as np

    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), (bits >> 16) | 0x40, rounded).astype("<u2")


def cell_bytes(cell: Any) -> bytes:
    """A cell of BYTES as it is written: bytes as they are, text as UTF-8, None as no bytes at all."""
    if isinstance(cell, str):
        return cell.encode("utf-8", "surrogatepass")
    return b"" if cell is None else bytes(cell)


def object_array(cells: list[Any]) -> Any:
    """A numpy array of one dimension that holds the cells themselves, whatever they are."""
    import numpy as np

    array = np.empty(len(cells), object)
    array[:] = cells
    return array
