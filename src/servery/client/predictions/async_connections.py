"""Steps carried out by asyncio: what ``connections`` is for threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from servery.client.predictions.messages import IDLE_SECONDS_MAX, headers_of, lost_of, request_of
from servery.client.predictions.steps import Deadline, Interrupted, Loss, Lost, Pause, Reply, ResultT, Send, Steps
from servery.clock import Clock

if TYPE_CHECKING:
    import httpcore

_CONNECT_SECONDS_MAX = 5.0
_LATE = Lost(Loss.LATE, "the deadline passed")


class AsyncOpenBody:
    """The body of an answer while it comes. Close it: what has not come by then is no longer wanted."""

    def __init__(self, response: httpcore.Response, deadline: Deadline, clock: Clock) -> None:
        self._response = response
        self._deadline = deadline
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises Interrupted where there is no next chunk, and should be."""
        import httpcore

        chunks = self._response.aiter_stream()
        while True:
            try:
                async with asyncio.timeout(self._deadline.at - self._clock.monotonic()):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise Interrupted(_LATE) from None
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
                raise Interrupted(lost_of(error)) from None
            if chunk is None:
                return
            yield chunk

    async def close(self) -> None:
        await self._response.aclose()


class AsyncConnections:
    """Connections to any number of servers, ``connections_max`` at once, all in one event loop."""

    def __init__(self, clock: Clock, *, connections_max: int) -> None:
        self._clock = clock
        self._connections_max = connections_max
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def run(self, steps: Steps[ResultT]) -> ResultT:
        """Carry out all of a call's steps. Raises what the steps raise."""
        outcome: Reply[object] | Lost | None = None
        try:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as done:
                    result: ResultT = done.value
                    return result
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    outcome = None
                else:
                    outcome = await self._send(step)
        finally:
            steps.close()

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    async def _send(self, step: Send) -> Reply[object] | Lost:
        import httpcore

        seconds = step.deadline.at - self._clock.monotonic()
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(step)
        except TimeoutError:
            return _LATE
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return lost_of(error)

    async def _exchange(self, step: Send) -> Reply[object]:
        response = await self._open().handle_async_request(request_of(step, {"connect": _CONNECT_SECONDS_MAX}))
        headers = headers_of(response.headers)
        if step.stream_deadline is not None and response.status == 200:
            return Reply(response.status, headers, AsyncOpenBody(response, step.stream_deadline, self._clock))
        try:
            return Reply(response.status, headers, await response.aread())
        finally:
            await response.aclose()

    def _open(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            import httpcore

            self._pool = httpcore.AsyncConnectionPool(
                max_connections=self._connections_max, keepalive_expiry=IDLE_SECONDS_MAX
            )
        return self._pool
