"""All workers of one version on this gateway: kept at the number asked, replaced when they end.

The supervisor's loop is ``run``: it starts what is missing, waits until a worker is lost or the number changes, and
starts again, with a growing pause when starts fail or do not last. It waits for no worker: not for one that takes long
to load, and not for one that takes long to leave. A version that does not load the first time is failed for good;
one that has been ready is tried again for as long as the routing table names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from servery.clock import Clock
from servery.errors import ServeryError
from servery.routing import PoolReport, PoolSpec, PoolState
from servery.workers.environments.variables import launch
from servery.workers.request import Request
from servery.workers.worker import Worker, WorkerFailed, WorkerState

LEGAL = {
    PoolState.LOADING: {PoolState.READY, PoolState.FAILED, PoolState.DRAINING},
    PoolState.READY: {PoolState.DRAINING},
    PoolState.FAILED: {PoolState.DRAINING},
    PoolState.DRAINING: set[PoolState](),
}

_BACKOFF_SECONDS = (0.0, 0.1, 0.5, 2.0, 10.0, 30.0)
"""The pause before a start, by how many starts in a row have failed or did not last."""
_LASTING_SECONDS = 1.0
"""A worker that ends sooner after it was ready counts as one that did not start: a model that loads well and dies
at once must not keep the machine busy with starting it."""
LOG_BYTES_MAX = 16 << 20

log = logging.getLogger(__name__)


class Work(Protocol):
    """What a pool's workers are given: the batcher, seen from below. Its methods may not raise or wait."""

    def worker_idle(self) -> None:
        """A worker of ``pool.idle`` can take a batch."""

    def requests_lost(self, requests: Sequence[Request]) -> None:
        """A worker ended while it had these; each is still to be settled."""

    def stream_ended(self) -> None:
        """A worker has one stream fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What every pool of a gateway shares."""

    variables: Mapping[str, str]
    """The server's environment variables, of which workers get a few."""
    logs: Path
    """The folder of the workers' logs."""
    load_timeout_seconds: float
    drain_timeout_seconds: float
    must_answer: bool = True
    """A model that raises on its own input example is refused, even where no answer to it was recorded."""


@dataclass(frozen=True, slots=True)
class Order:
    """What each worker of a version is started with."""

    interpreter: str
    payload: bytes
    """Of the LOAD frame."""
    cautious_payload: bytes
    """The same for a model that may not be asked about its neighbours."""
    mend: Callable[[], Awaitable[object]]
    """Awaited when a version that was ready does not load again: it makes its files whole where it can, and raises
    ServeryError or OSError where it cannot."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """One record for metrics, tests and reports."""

    workers_ready: int
    workers_busy: int
    workers_started: int
    workers_lost: int


class Pool:
    """The workers of one version. ``work`` must be set before ``run``; ``on_change`` is called after every move."""

    def __init__(
        self, spec: PoolSpec, settings: PoolSettings, clock: Clock, *, on_change: Callable[[Pool], None]
    ) -> None:
        self.spec = spec
        self.state = PoolState.LOADING
        self.cause: str | None = None
        self.stage = ""
        """What it is doing while it loads."""
        self.streams: bool | None = None
        """Whether the model answers in pieces; None until a worker has loaded."""
        self.idle: list[Worker] = []
        self.workers: list[Worker] = []
        """Those that start or serve."""
        self.leaving: list[Worker] = []
        """Those that finish their last batch."""
        self.facts: Mapping[str, object] = {}
        """What the newest of its workers told when it had loaded; empty until one has."""
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._work: Work | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        self._started = 0
        self._lost = 0
        self._starts: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()

    def attach(self, work: Work) -> None:
        self._work = work

    @property
    def batchable(self) -> bool:
        """Whether requests may be predicted together; known once a worker has loaded."""
        return any(worker.batchable for worker in self.workers)

    @property
    def holders(self) -> list[Worker]:
        """The workers that may hold a batch."""
        return [*self.workers, *self.leaving]

    def statistics(self) -> PoolStatistics:
        states = [worker.state for worker in self.holders]
        busy = states.count(WorkerState.BUSY)
        return PoolStatistics(states.count(WorkerState.IDLE) + busy, busy, self._started, self._lost)

    def report(self) -> PoolReport:
        stage = self.stage if self.state is PoolState.LOADING else ""
        return PoolReport(self.spec.key, self.state, self.cause, self.statistics().workers_ready, stage)

    @property
    def log(self) -> Path:
        """Where what the workers print is kept."""
        return self._settings.logs / f"{self.spec.key.replace('/', '-')}.log"

    def cap_log(self) -> None:
        """Begin the log anew when it has grown too large; workers that append to it go on at its start."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LOG_BYTES_MAX:
                os.truncate(self.log, 0)

    def resize(self, spec: PoolSpec) -> None:
        """Follow a new number of replicas."""
        self.spec = spec
        self._wake.set()

    def fail(self, cause: str) -> None:
        self.cause = cause
        self._move(PoolState.FAILED)

    def say(self, stage: str) -> None:
        """Tell what is being done for it while it loads; the same again is no news."""
        if stage == self.stage:
            return
        self.stage = stage
        log.info("%s: %s", self.spec.label, stage)
        self._on_change(self)

    async def run(self, order: Order) -> None:
        """Load, then keep the number of workers, until cancelled."""
        self.say("loading the model")
        try:
            order = await self._prove(order)
            await self._start_missing(order)
        except WorkerFailed as error:
            await self._stop_all(self._settings.drain_timeout_seconds)
            self.fail(str(error))
            return
        self._move(PoolState.READY)
        log.info("%s is ready", self.spec.label)
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._keep(order)
            self._on_change(self)

    async def _prove(self, order: Order) -> Order:
        """One worker alone proves the version before the machine is made to load it many times.

        A model may end its process on one of the changed examples that tell whether rows depend on their neighbours.
        It is good all the same, and that is not asked of it: its requests are predicted one by one.
        """
        try:
            await self._start_worker(order)
        except WorkerFailed as error:
            if not error.ended:
                raise
            log.warning("%s is loaded again and asked its example only: %s", self.spec.label, error)
            order = replace(order, payload=order.cautious_payload)
            await self._start_worker(order)
        return order

    async def drain(self, timeout_seconds: float) -> None:
        """Answer what the workers hold, then end their processes. Nothing may be sent any more, and ``run`` is over."""
        if self.state is not PoolState.DRAINING:
            self._move(PoolState.DRAINING)
        await self._stop_all(timeout_seconds)

    def _keep(self, order: Order) -> None:
        """Start what is missing, or let go what is too much, the ones without a batch first."""
        serving = [worker for worker in self.workers if worker.state is not WorkerState.STARTING]
        for _ in range(self.spec.replicas - len(serving) - len(self._starts)):
            start = asyncio.ensure_future(self._start_again(order))
            self._starts.add(start)
            start.add_done_callback(self._start_ended)
        surplus = len(serving) + len(self._starts) - self.spec.replicas
        for start in list(self._starts)[: max(0, surplus)]:
            self._cancel_start(start)
            surplus -= 1
        serving.sort(key=lambda worker: worker.state is WorkerState.BUSY)
        for worker in serving[: max(0, surplus)]:
            self._stop(worker, self._settings.drain_timeout_seconds)

    async def _start_again(self, order: Order) -> None:
        await asyncio.sleep(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)])
        try:
            await self._start_worker(order)
        except WorkerFailed as error:
            log.warning("a worker of %s did not start again: %s", self.spec.label, error)
            try:
                await order.mend()
            except (ServeryError, OSError) as fault:
                log.warning("the files of %s cannot be mended: %s", self.spec.label, fault)

    def _start_ended(self, start: asyncio.Task[None]) -> None:
        # Woken only now: as long as the start counts as one, the loop begins no other in its place.
        self._starts.discard(start)
        self._wake.set()

    async def _start_missing(self, order: Order) -> None:
        missing = self.spec.replicas - len(self.workers)
        results = await asyncio.gather(*(self._start_worker(order) for _ in range(missing)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _start_worker(self, order: Order) -> None:
        worker = Worker(
            clock=self._clock,
            on_idle=self._worker_idle,
            on_lost=self._worker_lost,
            on_stream_end=self._stream_ended,
        )
        self._started += 1
        self.workers.append(worker)
        try:
            await worker.start(
                launch(
                    order.interpreter,
                    self._settings.variables,
                    dict(self.spec.variables),
                    replicas=self.spec.replicas,
                ),
                order.payload,
                title=self.spec.label,
                log=self.log,
                timeout_seconds=self._settings.load_timeout_seconds,
            )
        except BaseException:
            self._failures += 1
            self.workers.remove(worker)
            raise
        self.facts = worker.facts
        self.streams = bool(worker.facts.get("streams"))

    def _stream_ended(self) -> None:
        if self._work is not None:
            self._work.stream_ended()

    def _worker_idle(self, worker: Worker) -> None:
        self.idle.append(worker)
        if self._work is not None:
            self._work.worker_idle()

    def _worker_lost(self, worker: Worker, requests: Sequence[Request]) -> None:
        self._lost += 1
        lasted = self._clock.monotonic() - worker.ready_since >= _LASTING_SECONDS
        self._failures = 0 if lasted else self._failures + 1
        log.warning("a worker of %s (pid %s) ended with %d requests", self.spec.label, worker.pid, len(requests))
        self._stop(worker, 0)
        self._wake.set()
        if self._work is not None:
            self._work.requests_lost(requests)

    def _stop(self, worker: Worker, timeout_seconds: float) -> None:
        """Give it no more batches, and end it."""
        for workers in (self.workers, self.idle):
            if worker in workers:
                workers.remove(worker)
        if worker not in self.leaving:
            self.leaving.append(worker)
        ending = asyncio.ensure_future(self._end(worker, timeout_seconds))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end(self, worker: Worker, timeout_seconds: float) -> None:
        try:
            await worker.stop(timeout_seconds=timeout_seconds)
        finally:
            if worker in self.leaving:
                self.leaving.remove(worker)

    def _cancel_start(self, start: asyncio.Task[None]) -> None:
        start.cancel()
        self._starts.discard(start)
        self._endings.add(start)
        start.add_done_callback(self._endings.discard)

    async def _stop_all(self, timeout_seconds: float) -> None:
        for start in list(self._starts):
            self._cancel_start(start)
        for worker in [*self.workers, *self.leaving]:
            if worker.state is not WorkerState.STARTING:
                self._stop(worker, timeout_seconds)
        while self._endings:
            await asyncio.wait(self._endings)

    def _move(self, state: PoolState) -> None:
        if state not in LEGAL[self.state]:
            raise RuntimeError(f"a pool cannot move from {self.state.value} to {state.value}")
        self.state = state
        self._on_change(self)
