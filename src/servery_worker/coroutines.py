"""Asynchronous streams: all of them side by side, on one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from servery_worker.flavors import FAILURES
from servery_worker.replies import Reply
from servery_worker.streams import Stream
from servery_worker.wire import Outcome

_CLOSE_SECONDS = 5.0
"""How long what still runs may take to end with the worker."""


class Coroutines:
    """The event loop's thread. Methods may be called from any other thread; ``on_end`` is called from this one."""

    def __init__(self, on_end: Callable[[Stream], None]) -> None:
        self._on_end = on_end
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._granted: dict[int, asyncio.Event] = {}
        threading.Thread(target=self._loop.run_forever, name="streams", daemon=True).start()

    def start(self, stream: Stream) -> None:
        """Take over a stream whose model has been asked, and gave something asynchronous."""

        def start() -> None:
            self._granted[stream.id] = asyncio.Event()
            self._tasks[stream.id] = task = self._loop.create_task(self._run(stream))
            # A task that is cancelled before its first step does not get so far as to say that it ends.
            task.add_done_callback(lambda _: self._ended(stream))

        self._loop.call_soon_threadsafe(start)

    def granted(self, stream: Stream) -> None:
        def wake() -> None:
            if stream.id in self._granted:
                self._granted[stream.id].set()

        self._loop.call_soon_threadsafe(wake)

    def cancel(self, stream: Stream) -> None:
        def cancel() -> None:
            if stream.id in self._tasks:
                self._tasks[stream.id].cancel()

        self._loop.call_soon_threadsafe(cancel)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing runs on the loop meanwhile: the model's code is entered by one thread at a time."""
        entered, left = threading.Event(), threading.Event()

        def hold() -> None:
            entered.set()
            left.wait()

        self._loop.call_soon_threadsafe(hold)
        entered.wait()
        try:
            yield
        finally:
            left.set()

    def close(self) -> None:
        """Cancel what still runs, and wait for it."""

        async def cancel_all() -> None:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(_CLOSE_SECONDS + 1)

    async def _run(self, stream: Stream) -> None:
        chunks = stream.chunks
        try:
            if hasattr(chunks, "__await__"):
                chunks = await chunks
            await self._tell(stream, chunks)
        except FAILURES as error:  # A cancelled stream ends with this, too: nobody listens to it.
            stream.fail(error)
        finally:
            await self._close(chunks)

    def _ended(self, stream: Stream) -> None:
        stream.end(Reply(Outcome.OK, b""))
        del self._tasks[stream.id], self._granted[stream.id]
        self._on_end(stream)

    async def _tell(self, stream: Stream, chunks: Any) -> None:
        iterator = chunks.__aiter__()
        while True:
            await self._may_send(stream)
            if stream.cancelled:
                return None
            try:
                chunk = await iterator.__anext__()
            except StopAsyncIteration:
                return stream.finish()
            if not stream.say(chunk):
                return None

    async def _may_send(self, stream: Stream) -> None:
        granted = self._granted[stream.id]
        while True:
            granted.clear()
            if stream.may_send():
                return
            await granted.wait()

    async def _close(self, chunks: Any) -> None:
        """Let the generator's ``finally`` run."""
        try:
            if hasattr(chunks, "aclose"):
                await chunks.aclose()
            elif hasattr(chunks, "close"):
                chunks.close()
        except FAILURES:
            pass
