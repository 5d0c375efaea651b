"""All workers of one version on this gateway: kept at the number asked, replaced when they end.

The supervisor's loop is ``run``: it starts what is missing, waits until a worker is lost or the number changes, and
starts again, with a growing pause when starts fail. A version that does not load the first time is failed for good;
one that has been ready is tried again for as long as the routing table names it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from servery.clock import Clock
from servery.routing import PoolReport, PoolSpec, PoolState
from servery.workers.environments import local_environment
from servery.workers.request import Request
from servery.workers.worker import Worker, WorkerFailed, WorkerState

LEGAL = {
    PoolState.LOADING: {PoolState.READY, PoolState.FAILED, PoolState.DRAINING},
    PoolState.READY: {PoolState.DRAINING},
    PoolState.FAILED: {PoolState.DRAINING},
    PoolState.DRAINING: set[PoolState](),
}

_BACKOFF_SECONDS = (0.0, 0.1, 0.5, 2.0, 10.0, 30.0)
"""The pause before a start, by how many starts have failed in a row."""
_LOG_BYTES_MAX = 16 << 20

log = logging.getLogger(__name__)


class Work(Protocol):
    """What a pool's workers are given: the batcher, seen from below. Its methods may not raise or wait."""

    def worker_idle(self) -> None:
        """A worker of ``pool.idle`` can take a batch."""

    def requests_lost(self, requests: Sequence[Request]) -> None:
        """A worker ended while it had these; each is still to be settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What every pool of a gateway shares."""

    variables: Mapping[str, str]
    """The server's environment variables, of which workers get a few."""
    logs: Path
    """The folder of the workers' logs."""
    load_timeout_seconds: float
    drain_timeout_seconds: float


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
        self.idle: list[Worker] = []
        self.workers: list[Worker] = []
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._work: Work | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        self._started = 0
        self._lost = 0
        self._endings: set[asyncio.Task[None]] = set()

    def attach(self, work: Work) -> None:
        self._work = work

    @property
    def batchable(self) -> bool:
        """Whether requests may be predicted together; known once a worker has loaded."""
        return bool(self.workers) and self.workers[0].batchable

    def statistics(self) -> PoolStatistics:
        states = [worker.state for worker in self.workers]
        busy = states.count(WorkerState.BUSY)
        return PoolStatistics(states.count(WorkerState.IDLE) + busy, busy, self._started, self._lost)

    def report(self) -> PoolReport:
        return PoolReport(self.spec.key, self.state, self.cause, self.statistics().workers_ready)

    def resize(self, spec: PoolSpec) -> None:
        """Follow a new number of replicas."""
        self.spec = spec
        self._wake.set()

    def fail(self, cause: str) -> None:
        self.cause = cause
        self._move(PoolState.FAILED)

    async def run(self, order: bytes) -> None:
        """Load, then keep the number of workers, until cancelled. ``order`` is the payload of LOAD frames."""
        try:
            # One worker alone proves the version before the machine is made to load it many times.
            await self._start_worker(order)
            await self._start_missing(order)
        except WorkerFailed as error:
            await self._stop_workers(self.workers)
            self.fail(str(error))
            return
        self._move(PoolState.READY)
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._keep(order)

    async def drain(self) -> None:
        """Answer what the workers hold, then end their processes. Nothing may be sent any more."""
        if self.state is not PoolState.DRAINING:
            self._move(PoolState.DRAINING)
        await self._stop_workers(self.workers)

    async def _keep(self, order: bytes) -> None:
        surplus = len(self.workers) - self.spec.replicas
        if surplus > 0:
            await self._stop_workers(self.workers[-surplus:])
        elif surplus < 0:
            await asyncio.sleep(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)])
            try:
                await self._start_missing(order)
            except WorkerFailed as error:
                log.warning("a worker of %s did not start again: %s", self.spec.label, error)
                self._wake.set()
        self._on_change(self)

    async def _start_missing(self, order: bytes) -> None:
        missing = self.spec.replicas - len(self.workers)
        results = await asyncio.gather(*(self._start_worker(order) for _ in range(missing)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _start_worker(self, order: bytes) -> None:
        worker = Worker(clock=self._clock, on_idle=self._worker_idle, on_lost=self._worker_lost)
        path = self._settings.logs / f"{self.spec.key.replace('/', '-')}.log"
        _cap_log(path)
        self._started += 1
        self.workers.append(worker)
        try:
            await worker.start(
                local_environment(self._settings.variables, replicas=self.spec.replicas),
                order,
                title=self.spec.label,
                log=path,
                timeout_seconds=self._settings.load_timeout_seconds,
            )
            self._failures = 0
        except BaseException:
            self._failures += 1
            self.workers.remove(worker)
            raise

    def _worker_idle(self, worker: Worker) -> None:
        self.idle.append(worker)
        if self._work is not None:
            self._work.worker_idle()

    def _worker_lost(self, worker: Worker, requests: Sequence[Request]) -> None:
        self._lost += 1
        self._forget(worker)
        log.warning("a worker of %s (pid %s) ended with %d requests", self.spec.label, worker.pid, len(requests))
        ending = asyncio.ensure_future(worker.stop(timeout_seconds=0))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        self._wake.set()
        if self._work is not None:
            self._work.requests_lost(requests)

    def _forget(self, worker: Worker) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
        if worker in self.idle:
            self.idle.remove(worker)

    async def _stop_workers(self, workers: Sequence[Worker]) -> None:
        leaving = list(workers)
        for worker in leaving:
            self._forget(worker)
        await asyncio.gather(
            *(worker.stop(timeout_seconds=self._settings.drain_timeout_seconds) for worker in leaving),
            *self._endings,
        )

    def _move(self, state: PoolState) -> None:
        if state not in LEGAL[self.state]:
            raise RuntimeError(f"a pool cannot move from {self.state.value} to {state.value}")
        self.state = state
        self._on_change(self)


def _cap_log(path: Path) -> None:
    """Begin the log anew when it has grown too large; workers that append to it go on at its start."""
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.write_bytes(b"")
