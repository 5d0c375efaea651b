"""The messages of an Arrow IPC stream, looked at before pyarrow is: how long each is, and what it decodes to.

Source: the Arrow columnar format, "Serialization and Interprocess Communication", and its ``Message.fbs``. A message is
``0xFFFFFFFF, i32 length of the metadata, metadata (a flatbuffer), body``; a length of 0 ends the stream. A buffer of
a compressed body begins with the i64 length that it decodes to (-1: it is stored as it is). pyarrow allocates what is
said there, so a few bytes could take all of the machine's memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from servery_worker.codecs.bodies import BadBody

FILE_MAGIC = b"ARROW1\0\0"
"""What the file format has before the stream that it holds."""
METADATA_BYTES_MAX = 16 << 20

_CONTINUATION = b"\xff\xff\xff\xff"
_I16, _U16 = struct.Struct("<h"), struct.Struct("<H")
_I32, _U32, _I64 = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<q")
_BUFFER = struct.Struct("<qq")
UNPICKLED_ON_READING = b"arrow.py_extension_type"
"""An extension type of pyarrow before 14.0.1, which unpickles what the stream holds (CVE-2023-47248)."""

_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
"""Fields of ``Message``, by their place."""
_BATCH_OF_DICTIONARY = 1
_BUFFERS, _COMPRESSION = 2, 3
"""Fields of ``RecordBatch``."""

Read = Callable[[int], memoryview]
"""That many of the next bytes; fewer only where the body ends."""


class Message(NamedTuple):
    """One message as it stands in the stream."""

    is_record_batch: bool
    pieces: tuple[memoryview, ...]
    """Its length, its metadata and its body."""
    decoded_bytes: int
    """What its body comes to when it is decompressed."""


class CutShort(BadBody):
    """The stream ends, or has not come further, within a message."""

    def __init__(self) -> None:
        super().__init__("The Arrow stream is cut short: it has no end-of-stream mark, which closing the writer sets.")


def next_message(read: Read, *, bytes_max: int) -> Message | None:
    """The next message, or None at the stream's end.

    Raises:
        BadBody: it is none, or it decodes to more than ``bytes_max`` bytes. CutShort: the body ends before it does.
    """
    prefix = _whole(read, 4)
    pieces = [prefix]
    if prefix == _CONTINUATION:  # Streams from before Arrow 0.15 have the length alone.
        prefix = _whole(read, 4)
        pieces.append(prefix)
    (length,) = _I32.unpack(prefix)
    if length == 0:
        return None
    if not 0 < length <= METADATA_BYTES_MAX:
        raise BadBody(f"The body is not an Arrow stream: a message has metadata of {length} bytes.")
    metadata = _whole(read, length)
    try:
        kind, header, body_length = _message_of(metadata)
        if not 0 <= body_length <= bytes_max:
            what = f"A message of the Arrow stream has {body_length} bytes; at most {bytes_max} are taken"
            raise BadBody(f"{what}: write smaller record batches.")
        body = _whole(read, body_length)
        decoded = _decoded_bytes(kind, header, body)
    except (struct.error, IndexError, OverflowError):
        raise BadBody("The body is not an Arrow stream: a message's metadata leads nowhere.") from None
    if decoded > bytes_max:
        raise too_large(bytes_max)
    return Message(kind == _RECORD_BATCH, (*pieces, metadata, body), decoded)


def too_large(bytes_max: int) -> BadBody:
    return BadBody(f"The table is larger than {bytes_max >> 20} MiB when it is decoded.")


def _whole(read: Read, count: int) -> memoryview:
    piece = read(count)
    if len(piece) < count:
        raise CutShort
    return piece


class _Table(NamedTuple):
    """A table of a flatbuffer, and where it stands."""

    data: memoryview
    position: int

    def place(self, field: int) -> int | None:
        """Where a field's value stands; None where the table has none."""
        vtable = self.position - _at(_I32, self.data, self.position)
        entry = 4 + 2 * field
        if entry >= _at(_U16, self.data, vtable):
            return None
        offset = _at(_U16, self.data, vtable + entry)
        return self.position + offset if offset else None

    def table(self, field: int) -> _Table | None:
        place = self.place(field)
        return None if place is None else _Table(self.data, place + _at(_U32, self.data, place))


def _at(kind: struct.Struct, data: memoryview, position: int) -> int:
    """The number at a place; a negative one would count from the end."""
    if position < 0:
        raise IndexError
    return int(kind.unpack_from(data, position)[0])


def _message_of(metadata: memoryview) -> tuple[int, _Table | None, int]:
    """The kind of its header, its header, and the length of its body."""
    message = _Table(metadata, _at(_U32, metadata, 0))
    kind_place, length_place = message.place(_HEADER_TYPE), message.place(_BODY_LENGTH)
    kind = 0 if kind_place is None else metadata[kind_place]
    if kind not in (_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH):
        raise BadBody("The body is not an Arrow stream of tables: it has a message of another kind.")
    if kind == _SCHEMA and UNPICKLED_ON_READING in bytes(metadata):
        raise BadBody("The Arrow schema has an extension type that would have to be unpickled.")
    return kind, message.table(_HEADER), 0 if length_place is None else _at(_I64, metadata, length_place)


def _decoded_bytes(kind: int, header: _Table | None, body: memoryview) -> int:
    batch = header.table(_BATCH_OF_DICTIONARY) if kind == _DICTIONARY_BATCH and header is not None else header
    if kind == _SCHEMA or batch is None or batch.place(_COMPRESSION) is None:
        return len(body)
    place = batch.place(_BUFFERS)
    if place is None:
        return len(body)
    start = place + _at(_U32, batch.data, place)
    count, total = _at(_U32, batch.data, start), 0
    for index in range(count):
        offset, length = _BUFFER.unpack_from(batch.data, start + 4 + index * _BUFFER.size)
        if length > 0:
            said = _at(_I64, body, offset)
            total += length if said == -1 else max(said, 0)
    return total


class Slices:
    """Reads from bytes that are all there, without a copy."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self.position = 0

    def __call__(self, count: int) -> memoryview:
        piece = self._body[self.position : self.position + count]
        self.position += len(piece)
        return piece
