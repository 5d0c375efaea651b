"""A server that fails as real ones do, over real sockets: each request gets the next turn of a script."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from tests.servers import free_port


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in. ``headers`` have names in lower case; ``connection`` counts from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


class _Reader(asyncio.StreamReader):
    """Knows when the caller has gone, whether or not somebody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: BaseException) -> None:
        super().set_exception(exc)  # type: ignore[arg-type]
        self.gone.set()


Turn = Callable[[Asked, asyncio.StreamWriter], Coroutine[Any, Any, None]]
"""Answers one request, or does not."""


@dataclass(slots=True)
class Faulty:
    """What the server does next, and what it was asked. The last turn of ``script`` is repeated."""

    script: list[Turn]
    port: int = field(default_factory=free_port)
    asked: list[Asked] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a caller has closed a connection."""
    _connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        try:
            while not writer.is_closing():
                asked = await _read(reader, connection)
                self.asked.append(asked)
                turn = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                await self._until_gone(cast("_Reader", reader), turn(asked, writer))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.left.set()
            writer.close()

    async def _until_gone(self, reader: _Reader, answering: Coroutine[Any, Any, None]) -> None:
        task, gone = asyncio.create_task(answering), asyncio.create_task(reader.gone.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            task.cancel()


@contextmanager
def faulty(*script: Turn) -> Iterator[Faulty]:
    """A server that takes these turns."""
    server = Faulty(list(script))
    loop = asyncio.new_event_loop()

    def protocol() -> asyncio.Protocol:
        return asyncio.StreamReaderProtocol(_Reader(), server.serve, loop=loop)

    listening = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", server.port))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(listening.close)
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def answer(status: int = 200, body: Any = None, **headers: str) -> Turn:
    """JSON (bytes as they are), with headers whose names have ``_`` for ``-``."""
    content = body if isinstance(body, bytes) else json.dumps({"predictions": [1]} if body is None else body).encode()

    async def turn(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, {"Content-Length": str(len(content)), **headers}) + content)

    return turn


def reset() -> Turn:
    """The connection breaks when the request is in."""

    async def turn(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    return turn


def half() -> Turn:
    """The connection breaks in the middle of the answer's body."""

    async def turn(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, {"Content-Length": "1000"}) + b'{"predictions"')
        await writer.drain()
        writer.close()

    return turn


def silence() -> Turn:
    """No answer at all."""

    async def turn(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return turn


def drip(text: bytes, *, every_seconds: float = 0.05) -> Turn:
    """A byte now and then, for ever: none of the waits for the next one is long."""

    async def turn(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(every_seconds)

    return turn


HEAD_THAT_DRIPS = b"HTTP/1.1 200 OK\r\nX-Slow: "
BODY_THAT_DRIPS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"


def events(*parts: bytes, ends: bool | None = True) -> Turn:
    """Server-sent events, each in a chunk of its own. Where ``ends`` is False nothing follows the last one; where it is
    None, the connection breaks."""

    async def turn(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        headers = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", "X-Model-Version": "talk/2"}
        writer.write(_head(200, headers))
        for part in parts:
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
        if ends is None:
            writer.close()
        elif ends:
            writer.write(b"0\r\n\r\n")
        else:
            await asyncio.Event().wait()

    return turn


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode()


async def _read(reader: asyncio.StreamReader, connection: int) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request_line, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = request_line.split(" ")
    return Asked(method, path, headers, body, connection)


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
