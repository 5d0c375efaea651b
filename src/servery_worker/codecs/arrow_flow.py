"""An Arrow stream as it comes in, record batch after record batch, and another as it goes out."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from servery_worker.codecs.arrow import Sent, pyarrow_for
from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.ipc import CutShort, Message, Slices, next_message
from servery_worker.codecs.json_text import Unencodable
from servery_worker.codecs.plain_tables import plain_table
from servery_worker.flavors import one_line

MESSAGE_BYTES_MAX = 64 << 20
"""What one record batch may come to when it is decoded, and all dictionaries of a stream."""
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


class Incoming:
    """The tables of a stream whose bytes are given to ``feed`` as they come.

    What stands before the first record batch, and every dictionary, is kept: each record batch is read with it as a
    small stream of its own.
    """

    def __init__(self) -> None:
        self._pa = pyarrow_for("take Arrow")
        self._bytes = bytearray()
        self._kept: list[bytes] = []
        self._tables = 0
        self.ended = False
        """Its end-of-stream mark has come, and all of its tables have been taken."""

    def feed(self, data: bytes | memoryview) -> None:
        self._bytes += data

    def close(self) -> None:
        """No more bytes will come.

        Raises:
            BadBody: the stream has not ended, or something follows its end.
        """
        if not self.ended:
            raise CutShort
        if self._bytes:
            raise BadBody(f"The body has {len(self._bytes)} bytes after the end of its Arrow stream.")

    def next_table(self) -> Sent | None:
        """The next record batch that is there as a whole, as a table; a stream without any has one without rows.

        Raises:
            BadBody: as ``table_of_arrow``.
        """
        while not self.ended:
            source = Slices(memoryview(self._bytes))
            try:
                message = next_message(source, bytes_max=MESSAGE_BYTES_MAX)
            except CutShort:
                return None
            # The message keeps its bytes; those after it are the beginning of the next.
            self._bytes = bytearray(memoryview(self._bytes)[source.position :])
            if message is None:
                self.ended = True
                return self._table([]) if self._kept and not self._tables else None
            if message.is_record_batch:
                return self._table(list(message.pieces))
            self._keep(message)
        return None

    def _keep(self, message: Message) -> None:
        self._kept += map(bytes, message.pieces)
        if sum(map(len, self._kept)) + message.decoded_bytes > MESSAGE_BYTES_MAX:
            raise BadBody(f"The dictionaries of the Arrow stream come to more than {MESSAGE_BYTES_MAX >> 20} MiB.")

    def _table(self, batch: list[memoryview]) -> Sent:
        self._tables += 1
        pa = self._pa
        try:
            with pa.ipc.open_stream(pa.PythonFile(_Pieces([*self._kept, *batch, _END_OF_STREAM]), "r")) as reader:
                table = reader.read_all()
            table.validate(full=True)
        except Exception as error:
            raise BadBody(f"The body is not an Arrow stream: {one_line(error)}.") from None
        return Sent(plain_table(table, MESSAGE_BYTES_MAX))


class _Pieces(io.RawIOBase):
    """A file of bytes that lie apart; pyarrow asks for each piece as a whole, which costs no copy."""

    def __init__(self, pieces: list[Any]) -> None:
        self._pieces = [memoryview(piece) for piece in pieces if len(piece)][::-1]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        if not self._pieces:
            return b""
        piece = self._pieces.pop()
        if 0 <= size < len(piece):
            self._pieces.append(piece[size:])
            return piece[:size]
        while len(piece) < size and self._pieces:
            piece = memoryview(bytes(piece) + bytes(self.read(size - len(piece))))
        return piece


class Outgoing:
    """A stream of tables that are alike; ``say`` is given its bytes in pieces."""

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self._sink = _Sink(say)
        self._writer: Any = None

    def write(self, table: Any) -> None:
        """Raises Unencodable where the table has not the columns of the first one."""
        import pyarrow as pa

        if self._writer is None:
            self._writer = pa.ipc.new_stream(pa.PythonFile(self._sink, "w"), table.schema)
            self._schema = table.schema
        if not table.schema.equals(self._schema):
            try:
                table = table.cast(self._schema)
            except (pa.ArrowException, ValueError) as error:
                raise Unencodable(f"its columns are not those of the first record batch: {one_line(error)}") from None
        self._writer.write_table(table)
        self._sink.pass_on()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._sink.pass_on()


class _Sink(io.RawIOBase):
    """What pyarrow writes in many small goes, in pieces of a good size."""

    _PIECE_BYTES = 256 << 10

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self._say = say
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), self._PIECE_BYTES):
            self._bytes += view[start : start + self._PIECE_BYTES]
            if len(self._bytes) >= self._PIECE_BYTES:
                self.pass_on()
        return len(view)

    def pass_on(self) -> None:
        if self._bytes:
            self._say(bytes(self._bytes))
            self._bytes.clear()
