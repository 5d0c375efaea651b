"""The host's side of a worker's socket: bytes into frames, frames out in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from servery_worker import wire

_HEAD_BYTES = wire.FRAME.size


class Channel(asyncio.Protocol):
    """Frames over one stream socket.

    ``on_frame(kind, payload)`` is called for every frame that came; ``on_lost()`` once, when the worker has hung up
    or has sent what is no frame. Neither may raise.
    """

    def __init__(self, on_frame: Callable[[int, bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def closed(self) -> bool:
        return self._transport is None

    def send(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write the pieces of whole frames; nothing is sent once the worker has hung up."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(pieces)

    def finish(self) -> None:
        """No more frames will be sent: the worker ends when it has read what was."""
        if self._transport is not None and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        if not buffer and len(data) >= _HEAD_BYTES:
            # The usual case is one whole frame in one read, which needs no buffer.
            length, kind = wire.FRAME.unpack_from(data)
            if len(data) == length + _HEAD_BYTES - 1:
                self._on_frame(kind, data[_HEAD_BYTES:])
                return
        buffer += data
        while len(buffer) >= _HEAD_BYTES:
            length, kind = wire.FRAME.unpack_from(buffer)
            if not 1 <= length <= wire.FRAME_BYTES_MAX:
                self.abort()
                return
            end = length + _HEAD_BYTES - 1
            if len(buffer) < end:
                return
            payload = bytes(buffer[_HEAD_BYTES:end])
            del buffer[:end]
            self._on_frame(kind, payload)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._on_lost()
