"""The gateway: holds the pools that a routing table names, and the routes that callers go by.

A table is settled step by step: pools that it names are loaded; an endpoint's new route is taken once every pool of
it is ready, and until then the old one stays; pools that nobody names any more are drained. The table counts as
settled when each of its routes is taken, or cannot be because a pool of it has failed: one endpoint's trouble does not
hold up the others, and the control plane is told of the pool.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec

from servery.clock import Clock
from servery.errors import EnvironmentFailed, ServeryError, Unavailable
from servery.names import Digest
from servery.observability.counts import RequestCounts
from servery.package.manifest import Manifest
from servery.package.mlmodel import MLmodel, read_mlmodel
from servery.routing import PoolKey, PoolReport, PoolSpec, PoolState, Route, RoutingTable, live_pools, specs_by_key
from servery.serving.batcher import RETRY_AFTER_SECONDS, Batcher, QueueLimits
from servery.serving.pages.description import Description, describe
from servery.serving.targets import Choice, Served, Target, routes_to_take
from servery.workers.environments.store import Environments, Lease
from servery.workers.pool import Order, Pool, PoolSettings

RELOAD_SECONDS = 5.0
"""How long after a failure a version that a route needs is loaded anew."""

log = logging.getLogger(__name__)


class Packages(Protocol):
    """Port: where a version's files come from.

    ``fetch`` returns a folder on this machine with the files of the manifest whose digest the spec names, and that
    manifest; again for the same version as often as wanted. Raises ServeryError, with a sentence that says what is
    missing. ``remove`` gives the folder up: no worker uses it any more. It may not wait.
    """

    async def fetch(self, spec: PoolSpec) -> tuple[Path, Manifest]: ...

    def remove(self, spec: PoolSpec) -> None: ...


class Gateway:
    """Everything that serves, without any protocol. Lives on one event loop."""

    def __init__(
        self,
        packages: Packages,
        environments: Environments,
        pools: PoolSettings,
        limits: QueueLimits,
        clock: Clock,
        random: Random,
    ) -> None:
        # What callers reach.
        self.targets: dict[str, Target] = {}
        self.descriptions: dict[PoolKey, Description] = {}
        """What is known of each version, from when its package is here."""
        self.table = RoutingTable()
        """The newest table that was given."""
        self.settled_number = 0
        """The newest table that is settled."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is something new to report."""
        self.build_logs: dict[Digest, str] = {}
        """In which environment a package runs, and how that was made: what is still to be told."""
        # What stands behind it.
        self._served: dict[PoolKey, Served] = {}
        self._draining: set[Served] = set()
        self._counts: dict[tuple[str, str], RequestCounts] = {}
        self._running: dict[Pool, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken = False
        # What it works with.
        self._packages = packages
        self._environments = environments
        self._leases: dict[Pool, Lease] = {}
        self._pool_settings = pools
        self._limits = limits
        self._clock = clock
        self._random = random

    @property
    def ready(self) -> bool:
        """Whether every route can be answered now, and nothing has gone wrong that only a restart mends."""
        settled = not self._broken and self.settled_number == self.table.number
        return settled and all(self._served[key].pool.state is PoolState.READY for key in live_pools(self.table))

    @property
    def served(self) -> tuple[Served, ...]:
        """The versions at work, those that are being drained included."""
        return (*self._served.values(), *self._draining)

    @property
    def counts(self) -> tuple[RequestCounts, ...]:
        return tuple(self._counts.values())

    def reports(self) -> tuple[PoolReport, ...]:
        return tuple(served.pool.report() for served in self._served.values())

    def apply(self, table: RoutingTable) -> None:
        """Go to another table; what must be loaded or drained for it goes on afterwards."""
        self.table = table
        for spec in table.pools:
            served = self._served.get(spec.key)
            if served is None:
                self._load(spec)
            elif served.pool.spec != spec:
                served.pool.resize(spec)
        self._settle()

    def sweep(self, busy_seconds_max: float) -> None:
        """Settle what is overdue; called many times a second."""
        for served in self.served:
            if served.batcher.pending:
                served.batcher.refuse_expired()
                served.batcher.end_hung_workers(busy_seconds_max)

    def cap_logs(self) -> None:
        """Keep what models print within bounds; called every few seconds."""
        for served in self.served:
            served.pool.cap_log()

    async def close(self) -> None:
        """Answer what was accepted, then end every worker."""
        self.on_change = lambda: None
        self.apply(RoutingTable())
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def abort(self) -> int:
        """End every worker now; how many requests that left unanswered."""
        self.on_change = lambda: None
        left = sum(served.batcher.requests_held for served in self.served)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(served.pool.drain(0) for served in self.served))
        for served in self.served:
            served.batcher.refuse_all(Unavailable("The gateway ends.", retry_after_seconds=RETRY_AFTER_SECONDS))
        return left

    def _load(self, spec: PoolSpec) -> None:
        pool = Pool(spec, self._pool_settings, self._clock, on_change=self._pool_changed)
        self._served[spec.key] = Served(pool, Batcher(pool, self._limits, self._clock))
        self._running[pool] = self._spawn(self._run(pool))

    async def _run(self, pool: Pool) -> None:
        try:
            pool.say("fetching the package")
            folder, manifest = await self._packages.fetch(pool.spec)
            mlmodel = await asyncio.to_thread(read_mlmodel, folder)
            self.descriptions[pool.spec.key] = await asyncio.to_thread(describe, folder, mlmodel)
            interpreter = await self._lease(pool, folder, mlmodel)
        except ServeryError as error:
            pool.fail(error.message)
            return
        except OSError as error:
            pool.fail(f"Its files cannot be kept on the gateway's machine: {error.strerror}.")
            return

        async def mend() -> None:
            await self._packages.fetch(pool.spec)
            await self._lease(pool, folder, mlmodel)

        files = {entry.path: entry.sha256 for entry in manifest.files}
        order: dict[str, Any] = {"directory": str(folder), "mlmodel": mlmodel.fields, "files": files}
        order["must_answer"] = self._pool_settings.must_answer
        order["load_seconds"] = self._pool_settings.load_timeout_seconds
        cautious = {**order, "neighbours": False}
        await pool.run(Order(interpreter, msgspec.json.encode(order), msgspec.json.encode(cautious), mend))

    async def _lease(self, pool: Pool, folder: Path, mlmodel: MLmodel) -> str:
        """The interpreter of the package's environment, which stays as long as the pool."""
        self._release(pool)

        def say(text: str) -> None:
            pool.say(f"making its Python environment: {text}")

        try:
            self._leases[pool] = lease = await self._environments.lease(folder, mlmodel.fields, say)
        except EnvironmentFailed as error:
            self.build_logs[pool.spec.digest] = f"{error.log}{error.message}\n"
            raise
        self.build_logs[pool.spec.digest] = lease.about
        return lease.interpreter

    def _release(self, pool: Pool) -> None:
        if (lease := self._leases.pop(pool, None)) is not None:
            lease.close()

    def _pool_changed(self, pool: Pool) -> None:
        served = next((served for served in self.served if served.pool is pool), None)
        if served is not None and pool.state is PoolState.FAILED:
            log.error("%s failed to load: %s", pool.spec.label, pool.cause)
            served.batcher.refuse_all(
                Unavailable(f"{pool.spec.label} failed to load.", retry_after_seconds=RETRY_AFTER_SECONDS)
            )
        if served is None or served in self._draining:
            return
        if pool.state is PoolState.FAILED:
            asyncio.get_running_loop().call_later(RELOAD_SECONDS, self._reload_if_routed, pool)
        self._settle()

    def _reload_if_routed(self, pool: Pool) -> None:
        """A version that callers are sent to is not given up, whatever kept it from loading."""
        served = self._served.get(pool.spec.key)
        if served is not None and served.pool is pool and pool.spec.key in self._routed():
            del self._running[pool]
            self._release(pool)
            self._load(pool.spec)
            self._settle()

    def _routed(self) -> set[PoolKey]:
        return {share.pool for target in self.targets.values() for share in target.route.shares}

    def _settle(self) -> None:
        wanted: dict[str, Route] = {route.endpoint: route for route in self.table.routes}
        current = {name: target.route for name, target in self.targets.items()}
        states = {key: served.pool.state for key, served in self._served.items()}
        routes = routes_to_take(wanted, current, states)
        self.targets = {name: self._target(name, route) for name, route in routes.items()}
        self._counts = {key: counts for key, counts in self._counts.items() if key[0] in self.targets}
        if all(routes[name] == route or _has_failed(route, states) for name, route in wanted.items()):
            self.settled_number = self.table.number
        for key in self._served.keys() - specs_by_key(self.table.pools).keys() - self._routed():
            self._start_drain(key)
        self.on_change()

    def _target(self, name: str, route: Route) -> Target:
        target = self.targets.get(name)
        if target is not None and target.stands(route, self._served):
            return target
        choices = {share.pool: self._choice(name, self._served[share.pool]) for share in route.shares}
        return Target(route, choices, self._random)

    def _choice(self, endpoint: str, served: Served) -> Choice:
        label = served.pool.spec.label
        counts = self._counts.setdefault((endpoint, label), RequestCounts(endpoint, label))
        return Choice(served, counts, served.header)

    def _start_drain(self, key: PoolKey) -> None:
        served = self._served.pop(key)
        self._draining.add(served)
        self._spawn(self._drain(served))

    async def _drain(self, served: Served) -> None:
        label = served.pool.spec.label
        deadline = self._clock.monotonic() + self._pool_settings.drain_timeout_seconds
        try:
            async with asyncio.timeout(self._pool_settings.drain_timeout_seconds):
                await served.batcher.drained()
        except TimeoutError:
            log.warning("%s still had requests when its time to drain was over", label)
        if (running := self._running.pop(served.pool, None)) is not None:
            running.cancel()
            await asyncio.wait([running])
        await served.pool.drain(max(0.0, deadline - self._clock.monotonic()))
        served.batcher.refuse_all(Unavailable(f"{label} is no longer served.", retry_after_seconds=RETRY_AFTER_SECONDS))
        self._draining.discard(served)
        self._release(served.pool)
        if served.pool.spec.key not in self._served:
            self.descriptions.pop(served.pool.spec.key, None)
        if all(other.pool.spec.digest != served.pool.spec.digest for other in self.served):
            self._packages.remove(served.pool.spec)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = True
            log.critical("a task of the gateway failed", exc_info=error)


def _has_failed(route: Route, states: Mapping[PoolKey, PoolState]) -> bool:
    return any(states[share.pool] is PoolState.FAILED for share in route.shares)
