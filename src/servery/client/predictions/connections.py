"""Steps carried out by the thread that asks for them, over connections that are kept open.

This is httpx's own engine, httpcore, without httpx: a thread cannot be interrupted, so every single read and write has
to know when the whole call ends, or a server that sends a byte now and then would be waited for without an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Lock
from typing import TYPE_CHECKING

from servery.client.predictions.messages import IDLE_SECONDS_MAX, headers_of, lost_of, request_of
from servery.client.predictions.steps import Interrupted, Lost, Pause, Reply, ResultT, Send, Steps
from servery.clock import Clock

if TYPE_CHECKING:
    import httpcore


class OpenBody:
    """The body of an answer while it comes. Close it: what has not come by then is no longer wanted."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        """Raises Interrupted where there is no next chunk, and should be."""
        import httpcore

        try:
            yield from self._response.iter_stream()
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise Interrupted(lost_of(error)) from None

    def close(self) -> None:
        self._response.close()


class Connections:
    """Connections to any number of servers, ``connections_max`` at once. May be used from several threads."""

    def __init__(self, clock: Clock, *, connections_max: int) -> None:
        self._clock = clock
        self._connections_max = connections_max
        self._pool: httpcore.ConnectionPool | None = None
        self._lock = Lock()

    def run(self, steps: Steps[ResultT]) -> ResultT:
        """Carry out all of a call's steps. Raises what the steps raise."""
        outcome: Reply[object] | Lost | None = None
        pause = Event()  # Never set.
        try:
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as done:
                    result: ResultT = done.value
                    return result
                if isinstance(step, Pause):
                    pause.wait(step.seconds)
                    outcome = None
                else:
                    outcome = self._send(step)
        finally:
            steps.close()

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _send(self, step: Send) -> Reply[object] | Lost:
        import httpcore

        try:
            at = step.deadline.at
            timeout = {"connect": at, "read": at, "write": at, "pool": max(at - self._clock.monotonic(), 0.0)}
            request = request_of(step, timeout)
            response = self._open().handle_request(request)
            headers = headers_of(response.headers)
            if step.stream_deadline is not None and response.status == 200:
                # What httpcore reads of the body has another end than what it read of the head.
                request.extensions["timeout"]["read"] = step.stream_deadline.at
                return Reply(response.status, headers, OpenBody(response))
            try:
                return Reply(response.status, headers, response.read())
            finally:
                response.close()
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return lost_of(error)

    def _open(self) -> httpcore.ConnectionPool:
        with self._lock:
            if self._pool is None:
                import httpcore

                from servery.client.predictions.deadlines import DeadlineBackend

                self._pool = httpcore.ConnectionPool(
                    max_connections=self._connections_max,
                    keepalive_expiry=IDLE_SECONDS_MAX,
                    network_backend=DeadlineBackend(self._clock),
                )
            return self._pool
