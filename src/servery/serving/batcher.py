"""Requests that wait for one version, and the batches made of them; streams, which go past the queue.

Work-conserving: a lone request goes to an idle worker at once; requests that arrive while all workers are busy are
predicted together by the first that is free. Nothing ever waits for a timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from servery.clock import Clock
from servery.errors import DeadlinePassed, QueueFull, ServeryError, StreamsFull, Unavailable, WorkersLost
from servery.routing import PoolState
from servery.workers.pool import Pool
from servery.workers.request import Request
from servery.workers.stream import Stream
from servery.workers.worker import Worker, WorkerState

BATCH_REQUESTS_MAX = 256
"""As many one-row requests as the benchmark's largest client count; more in a batch gains nothing measurable."""
BATCH_BYTES_MAX = 8 << 20
LOST_WORKERS_MAX = 2
"""A request that was in this many workers when they ended is refused: it may be what ends them."""
RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait for one version."""

    requests_max: int
    bytes_max: int
    streams_max: int = 256
    """How many streams one worker may hold."""


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    requests_waiting: int
    bytes_waiting: int
    batches: int
    requests_sent: int
    streams: int
    """Under way."""
    streams_opened: int


def close_batch(body_bytes: Sequence[int], *, batchable: bool) -> int:
    """How many of the requests that wait, oldest first, make the next batch: a pure policy.

    All of them, within the limits; one alone when the version cannot predict requests together. At least one.
    """
    if not batchable:
        return 1
    total = 0
    for count, size in enumerate(body_bytes[:BATCH_REQUESTS_MAX]):
        total += size
        if count and total > BATCH_BYTES_MAX:
            return count
    return min(len(body_bytes), BATCH_REQUESTS_MAX)


def least_loaded(workers: Sequence[Worker]) -> Worker | None:
    """The ready worker with the fewest streams; None where none is ready."""
    ready = [worker for worker in workers if worker.state in (WorkerState.IDLE, WorkerState.BUSY)]
    return min(ready, key=lambda worker: len(worker.streams), default=None)


class Batcher:
    """The queue in front of one pool. Lives on the gateway's event loop; no method waits but ``drained``."""

    def __init__(self, pool: Pool, limits: QueueLimits, clock: Clock) -> None:
        self.pool = pool
        # What waits.
        self._waiting: deque[Request] = deque()
        self._suspects: deque[Request] = deque()
        self._bytes_waiting = 0
        # What was sent.
        self._batches = 0
        self._requests_sent = 0
        self._streams_opened = 0
        # What it works with.
        self._limits = limits
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._dispatch_scheduled = False
        self._empty = asyncio.Event()
        self._empty.set()
        pool.attach(self)

    def statistics(self) -> QueueStatistics:
        waiting = len(self._waiting) + len(self._suspects)
        streams = sum(len(worker.streams) for worker in self.pool.holders)
        return QueueStatistics(
            waiting, self._bytes_waiting, self._batches, self._requests_sent, streams, self._streams_opened
        )

    @property
    def pending(self) -> bool:
        """Whether any request is still to be settled, or any stream to end."""
        is_held = any(worker.batch or worker.streams for worker in self.pool.holders)
        return bool(self._waiting or self._suspects or is_held)

    @property
    def requests_held(self) -> int:
        """How many requests are still to be settled, waiting or in a worker."""
        held = [*self._waiting, *self._suspects, *(one for worker in self.pool.holders for one in worker.batch)]
        streams = sum(worker.streams.unsettled for worker in self.pool.holders)
        return streams + sum(not request.settled for request in held)

    def admit(self, request: Request, *, endpoint: str) -> None:
        """Take a request, to be answered or refused before its deadline.

        Raises:
            QueueFull: as many wait as may.
            Unavailable: the version has failed on this gateway.
        """
        limits = self._limits
        size = request.body_bytes
        if len(self._waiting) >= limits.requests_max or (
            self._waiting and self._bytes_waiting + size > limits.bytes_max
        ):
            raise QueueFull(endpoint, retry_after_seconds=RETRY_AFTER_SECONDS)
        if self.pool.state is PoolState.FAILED:
            raise _unavailable(endpoint)
        self._waiting.append(request)
        self._bytes_waiting += size
        if self.pool.idle and not self._dispatch_scheduled:
            # The requests that the same turn of the event loop reads go into the same batch.
            self._dispatch_scheduled = True
            self._loop.call_soon(self._dispatch_soon)

    def open(self, stream: Stream, *, endpoint: str) -> None:
        """Have a stream answered at once, by the worker with the fewest of them.

        Raises:
            StreamsFull: each worker holds as many as it may.
            Unavailable: no worker is ready.
        """
        worker = least_loaded(self.pool.workers)
        if worker is None:
            raise _unavailable(endpoint)
        if len(worker.streams) >= min(self._limits.streams_max, stream.held_max or self._limits.streams_max):
            raise StreamsFull(endpoint, retry_after_seconds=RETRY_AFTER_SECONDS)
        self._streams_opened += 1
        worker.streams.open(stream)

    def stream_ended(self) -> None:
        self._note_empty()

    def worker_idle(self) -> None:
        self._dispatch()

    def requests_lost(self, requests: Sequence[Request]) -> None:
        for request in requests:
            request.lost_workers += 1
            if request.lost_workers >= LOST_WORKERS_MAX:
                request.refuse(WorkersLost())
            elif not request.settled:
                self._suspects.append(request)
        self._dispatch()
        self._note_empty()

    def refuse_expired(self) -> None:
        """Answer 504 to what has passed its deadline, waiting or in a worker, and forget what was abandoned.

        A worker whose whole batch is settled and overdue by a full timeout hangs: it is ended and replaced.
        """
        now = self._clock.monotonic()
        for worker in self.pool.holders:
            worker.streams.refuse_expired(now)
            for request in worker.batch:
                if request.deadline <= now:
                    request.refuse(DeadlinePassed(request.timeout_seconds))
        late: list[Request] = []
        for waiting in (self._waiting, self._suspects):
            over = [request for request in waiting if request.settled or request.deadline <= now]
            if over:
                kept = [request for request in waiting if not (request.settled or request.deadline <= now)]
                waiting.clear()
                waiting.extend(kept)
                late += over
        self._bytes_waiting = sum(request.body_bytes for request in self._waiting)
        # Last of all: a caller that is answered may have its next request admitted within this very call.
        for request in late:
            request.refuse(DeadlinePassed(request.timeout_seconds))
        self._note_empty()

    def end_hung_workers(self, busy_seconds_max: float) -> None:
        """End each worker that has been at one batch, or at one step of a stream that it was to close, for longer than
        any caller still waits.
        """
        now = self._clock.monotonic()
        for worker in self.pool.holders:
            batch = worker.batch
            is_overdue = batch and now - worker.batch_sent > busy_seconds_max
            if (is_overdue and all(one.settled for one in batch)) or worker.streams.hang(now, busy_seconds_max):
                worker.kill()

    def refuse_all(self, error: ServeryError) -> None:
        """Settle everything that waits, when there will be no worker for it."""
        refused = (*self._waiting, *self._suspects)
        self._waiting.clear()
        self._suspects.clear()
        self._bytes_waiting = 0
        for request in refused:
            request.refuse(error)
        self._note_empty()

    async def drained(self) -> None:
        """Wait until nothing is waiting or in a worker."""
        while self.pending:
            self._empty.clear()
            await self._empty.wait()

    def _expired(self, request: Request, now: float) -> bool:
        if not request.settled and request.deadline <= now:
            request.refuse(DeadlinePassed(request.timeout_seconds))
        return request.settled

    def _dispatch_soon(self) -> None:
        self._dispatch_scheduled = False
        self._dispatch()

    def _dispatch(self) -> None:
        idle = self.pool.idle
        while idle and (self._suspects or self._waiting):
            batch = self._take()
            if batch:
                self._batches += 1
                self._requests_sent += len(batch)
                idle.pop().send(batch)
        if not self._waiting and not self._suspects:
            self._note_empty()

    def _take(self) -> list[Request]:
        """The next batch, without those that are settled or late; may be empty."""
        now = self._clock.monotonic()
        if self._suspects:
            candidates = [self._suspects.popleft()]
        else:
            waiting = self._waiting
            if len(waiting) == 1:
                count = 1
            else:
                sizes = [request.body_bytes for request in islice(waiting, BATCH_REQUESTS_MAX)]
                count = close_batch(sizes, batchable=self.pool.batchable)
            candidates = [waiting.popleft() for _ in range(count)]
            self._bytes_waiting -= sum(request.body_bytes for request in candidates)
        return [request for request in candidates if not self._expired(request, now)]

    def _note_empty(self) -> None:
        if not self._empty.is_set() and not self.pending:
            self._empty.set()


def _unavailable(endpoint: str) -> Unavailable:
    return Unavailable(
        f"Endpoint '{endpoint}' has no working version on this gateway.", retry_after_seconds=RETRY_AFTER_SECONDS
    )
