"""A gateway without processes: follows routing tables as a real one does, and loads when it is told to."""

from __future__ import annotations

from dataclasses import replace

from servery.names import EndpointName
from servery.routing import GatewayReport, PoolKey, PoolReport, PoolState, Route, RoutingTable, specs_by_key


class FakeGateway:
    """Give it tables, let its pools load, take its reports.

    As in a real gateway, an endpoint's new route is taken once every pool of it is ready, and the old one
    stays until then; a pool goes when neither the table nor a taken route names it.
    """

    def __init__(self, name: str, *, address: str = "http://127.0.0.1:8401", copy: RoutingTable | None = None) -> None:
        self.name = name
        self.address = address
        self.table = RoutingTable()
        self.settled = RoutingTable()
        """The newest table whose routes are all taken: what its copy on disk holds."""
        self.pools: dict[PoolKey, PoolReport] = {}
        self.routes: dict[EndpointName, Route] = {}
        if copy is not None:
            self.apply(copy)

    def apply(self, table: RoutingTable) -> None:
        self.table = table
        for spec in table.pools:
            self.pools.setdefault(spec.key, PoolReport(spec.key, PoolState.LOADING))
        self._settle()

    def loading(self) -> list[PoolKey]:
        """The pools that have workers still to come."""
        specs = specs_by_key(self.table.pools)
        return [
            key
            for key, report in self.pools.items()
            if report.state is PoolState.LOADING or (key in specs and report.workers_ready < specs[key].replicas)
        ]

    def load(self, key: PoolKey, *, failing: str | None = None) -> None:
        """One pool's workers come up, or fail with a cause."""
        if failing is not None:
            self.pools[key] = PoolReport(key, PoolState.FAILED, cause=failing)
        else:
            spec = specs_by_key(self.table.pools).get(key)
            replicas = self.pools[key].workers_ready if spec is None else spec.replicas
            self.pools[key] = PoolReport(key, PoolState.READY, workers_ready=replicas)
        self._settle()

    def retry(self, key: PoolKey) -> None:
        """A failed pool that callers need is loaded anew."""
        self.pools[key] = replace(self.pools[key], state=PoolState.LOADING, cause=None)

    def is_ready(self, key: PoolKey) -> bool:
        return key in self.pools and self.pools[key].state is PoolState.READY

    def report(self) -> GatewayReport:
        return GatewayReport(self.name, self.address, self.settled.number, tuple(self.pools.values()))

    def _settle(self) -> None:
        wanted = {route.endpoint: route for route in self.table.routes}
        taken = {
            name: route if all(self.is_ready(share.pool) for share in route.shares) else self.routes.get(name)
            for name, route in wanted.items()
        }
        self.routes = {name: route for name, route in taken.items() if route is not None}
        if self.routes == wanted:
            self.settled = self.table
        named = {share.pool for route in self.routes.values() for share in route.shares}
        named |= specs_by_key(self.table.pools).keys()
        self.pools = {key: report for key, report in self.pools.items() if key in named}
