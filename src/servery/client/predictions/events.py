"""Server-sent events, read as they come: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

EVENT_BYTES_MAX = 64 << 20
"""A longer event is a fault of the other side, never waited for."""


class Event(NamedTuple):
    """``name`` is ``message`` where the server gave none; ``data`` has its lines joined."""

    name: str
    data: str


class EventReader:
    """Bytes in, whole events out. Comments, ids and retry times are skipped.

    Raises ValueError where an event is longer than EVENT_BYTES_MAX, or is no UTF-8.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        self._rest += chunk
        lines = self._whole_lines() if b"\n" in chunk or b"\r" in chunk else []
        if len(self._rest) + self._data_bytes > EVENT_BYTES_MAX:
            raise ValueError(f"an event of more than {EVENT_BYTES_MAX} bytes")
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                yield Event(self._name or "message", "\n".join(self._data))
                self._name, self._data, self._data_bytes = "", [], 0
            else:
                self._name = ""

    def _whole_lines(self) -> list[bytes]:
        # A line may end in CR LF, LF or CR; a CR at the end may be half of a CR LF.
        text = bytes(self._rest)
        held = text[-1:] if text.endswith(b"\r") else b""
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = bytearray(lines.pop() + held)
        return lines

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode()
        if field == b"data":
            self._data.append(text)
            self._data_bytes += len(line)
        elif field == b"event":
            self._name = text
