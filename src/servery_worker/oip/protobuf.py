"""Protobuf's wire format, read and written field by field, so that no model's environment need have its library.

Source: https://protobuf.dev/programming-guides/encoding. Nothing is known of a message's type here: a field is handed
on as the bytes of its value. So the values of a repeated scalar field, packed or not, are all of its bytes in a row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

_GROUPS_MAX = 100
"""How deep groups may lie in each other, as the protobuf library has it."""
_BLOCK_BYTES = 1 << 20
"""How many bytes of packed numbers are read at a time: the arrays in between stay small."""
_VARINT_BYTES_MAX = 10
_MASK = (1 << 64) - 1


class Malformed(ValueError):
    """Bytes that are no protobuf message; the message says why, in a few words."""


class WireType(IntEnum):
    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    """A string, bytes, a message, or packed scalars."""
    GROUP = 3
    GROUP_END = 4
    FIXED32 = 5


_VARINT, _BYTES = int(WireType.VARINT), int(WireType.BYTES)
_SIZES = {int(WireType.FIXED64): 8, int(WireType.FIXED32): 4, int(WireType.GROUP): 0, int(WireType.GROUP_END): 0}
"""How many bytes the value of a field has, by its wire type; what is in a group are fields."""
_GROUPS = frozenset((int(WireType.GROUP), int(WireType.GROUP_END)))


class Field(NamedTuple):
    number: int
    wire_type: int
    value: memoryview
    """The varint itself, the 4 or 8 bytes, or what the length stands before."""


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message, in their order; groups, which proto3 has none of, are left out.

    Raises:
        Malformed: when the reader comes to what is no field.
    """
    position, end = 0, len(message)
    while position < end:
        number, wire_type, start, position = _field(message, position)
        if wire_type not in _GROUPS:
            yield Field(number, wire_type, message[start:position])
        elif wire_type == WireType.GROUP:
            position = _end_of_group(message, position, number)
        else:
            raise Malformed("a group ends that did not begin")


def _field(message: memoryview, position: int) -> tuple[int, int, int, int]:
    """Number, wire type, start and end of the field at ``position``; of a group only the tag is read."""
    tag, start = _varint(message, position)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise Malformed(f"a field with the number {number}")
    if wire_type == _BYTES:
        length, start = _varint(message, start)
        end = start + length
    elif wire_type == _VARINT:
        _, end = _varint(message, start)
    elif wire_type in _SIZES:
        end = start + _SIZES[wire_type]
    else:
        raise Malformed(f"a field of the unknown wire type {wire_type}")
    if end > len(message):
        raise Malformed(f"it ends inside field {number}")
    return number, wire_type, start, end


def _end_of_group(message: memoryview, position: int, number: int) -> int:
    open_groups = [number]
    while open_groups:
        number, wire_type, _, position = _field(message, position)
        if wire_type == WireType.GROUP:
            open_groups.append(number)
            if len(open_groups) > _GROUPS_MAX:
                raise Malformed("groups lie too deep in each other")
        elif wire_type == WireType.GROUP_END and number != open_groups.pop():
            raise Malformed("a group ends that did not begin")
    return position


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number at ``position``, and where it ends."""
    octets = message[position : position + _VARINT_BYTES_MAX].tobytes()
    if octets and octets[0] < 0x80:
        return octets[0], position + 1
    value = 0
    for index, octet in enumerate(octets):
        value |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            return value & _MASK, position + index + 1
    raise Malformed("a number that does not end")


def unsigned(value: memoryview) -> int:
    """A varint field's ``uint64``."""
    return _varint(value, 0)[0]


def signed(value: memoryview) -> int:
    """A varint field's ``int64``."""
    number = _varint(value, 0)[0]
    return number - (1 << 64) if number >> 63 else number


def text(value: memoryview) -> str:
    """A ``string``; raises Malformed where it is not UTF-8, as proto3 has it."""
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise Malformed("a string that is not UTF-8") from None


def varints(packed: bytes | bytearray | memoryview) -> Any:
    """The numbers of varints in a row, as a numpy array of uint64."""
    import numpy as np

    octets = np.frombuffer(packed, np.uint8)
    parts, start = [np.empty(0, np.uint64)], 0
    while start < len(octets):
        end = min(start + _BLOCK_BYTES, len(octets))
        while octets[end - 1] >= 0x80:  # A number that begins in the block ends in it.
            end += 1
            if end > min(start + _BLOCK_BYTES + _VARINT_BYTES_MAX, len(octets)):
                raise Malformed("a number that does not end")
        parts.append(_varints(octets[start:end]))
        start = end
    return np.concatenate(parts)


def _varints(octets: Any) -> Any:
    import numpy as np

    ends = np.flatnonzero(octets < 0x80) + 1
    lengths = np.diff(ends, prepend=0)
    starts = ends - lengths
    longest = int(lengths.max())
    if longest > _VARINT_BYTES_MAX:
        raise Malformed("a number that does not end")
    values = np.zeros(len(ends), np.uint64)
    for index in range(longest):
        has = lengths > index
        part = octets[starts[has] + index].astype(np.uint64) & np.uint64(0x7F)
        values[has] |= part << np.uint64(7 * index)
    return values


def varint_bytes(number: int) -> bytes:
    """A number as a varint; one below zero as the ``int64`` that it is."""
    number &= _MASK
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def packed_varints(numbers: Any) -> bytes:
    """The values of an array of whole numbers or truths as varints in a row."""
    import numpy as np

    values = np.ascontiguousarray(numbers).ravel().astype(np.int64 if numbers.dtype.kind == "i" else np.uint64)
    values = values.view(np.uint64)
    lengths = np.ones(len(values), np.int64)
    for index in range(1, _VARINT_BYTES_MAX):
        lengths += values >= np.uint64(1 << 7 * index)
    starts = np.cumsum(lengths) - lengths
    octets = np.empty(int(lengths.sum()), np.uint8)
    for index in range(int(lengths.max(initial=0))):
        has = lengths > index
        part = (values[has] >> np.uint64(7 * index)) & np.uint64(0x7F)
        octets[starts[has] + index] = part | np.where(lengths[has] > index + 1, 0x80, 0).astype(np.uint64)
    return octets.tobytes()


def number_field(number: int, value: int) -> bytes:
    """A field with a varint."""
    return varint_bytes(number << 3 | WireType.VARINT) + varint_bytes(value)


def double_field(number: int, value: float) -> bytes:
    return varint_bytes(number << 3 | WireType.FIXED64) + struct.pack("<d", value)


def bytes_field(number: int, value: bytes | memoryview) -> bytes:
    """A field with bytes, a message or packed scalars."""
    return b"".join((bytes_head(number, len(value)), value))


def bytes_head(number: int, length: int) -> bytes:
    """What stands before ``length`` bytes that are a field's value."""
    return varint_bytes(number << 3 | WireType.BYTES) + varint_bytes(length)


def text_field(number: int, value: str) -> bytes:
    """A field with a string; nothing where it is empty, as proto3 has it."""
    return bytes_field(number, value.encode()) if value else b""
