"""The requests of one ``ModelStreamInfer``, read ahead of their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, Protocol, TypeVar

REQUESTS_MAX = 256
"""How many requests of one stream may be under way; the next is read when the first of them is answered."""


class Abandonable(Protocol):
    def abandon(self) -> None:
        """Nobody waits for it any more. May be called twice."""


AskedT = TypeVar("AskedT", bound=Abandonable)


class Incoming(Generic[AskedT]):
    """The requests of one stream, read ahead of their answers; to the site, one connection."""

    def __init__(self, bodies: AsyncIterator[bytes], ask: Callable[[bytes], AskedT]) -> None:
        self.cut_short = False
        """The gateway ended it, and not the caller."""
        self._asked: asyncio.Queue[AskedT | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(REQUESTS_MAX)
        self._reading = asyncio.ensure_future(self._read(bodies, ask))

    def check(self, second: int) -> None:
        """A stream may be silent for as long as its connection lives."""

    def close_when_idle(self) -> None:
        """What has been read is answered, then it ends."""
        if not self._reading.done():
            self.cut_short = True
            self._reading.cancel()

    async def __aiter__(self) -> AsyncIterator[AskedT]:
        while (asked := await self._asked.get()) is not None:
            yield asked
            self._room.release()
        if not self.cut_short:
            await self._reading

    def abandon(self) -> None:
        """Whoever waits for answers is gone, or has them all."""
        self._reading.cancel()
        while not self._asked.empty():
            if (asked := self._asked.get_nowait()) is not None:
                asked.abandon()

    async def _read(self, bodies: AsyncIterator[bytes], ask: Callable[[bytes], AskedT]) -> None:
        try:
            async for body in bodies:
                await self._room.acquire()
                self._asked.put_nowait(ask(body))
        finally:
            self._asked.put_nowait(None)
