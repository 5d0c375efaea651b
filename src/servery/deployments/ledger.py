"""All endpoints and the routing table that shows them: changed together, in SQL first, then in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from servery.deployments.signals import Signal
from servery.deployments.state import Endpoint, Phase
from servery.deployments.store import EndpointStore, Stored
from servery.deployments.table import derive, same_content
from servery.errors import NotFound
from servery.names import EndpointName
from servery.routing import RoutingTable

Endpoints = Mapping[EndpointName, Endpoint]


@dataclass(frozen=True, slots=True)
class Change:
    """Endpoints to write and to remove. Table numbers up to ``taken`` were published before, in a lost database."""

    written: tuple[Endpoint, ...] = ()
    removed: tuple[EndpointName, ...] = ()
    taken: int = 0


class Ledger:
    """Reads are of one moment and may come from any thread; ``change`` is for the event loop's tasks."""

    def __init__(self, store: EndpointStore, stored: Stored, moved: Signal) -> None:
        self._store = store
        self._moved = moved
        self._lock = asyncio.Lock()
        self.endpoints: Endpoints = stored.endpoints
        self.table: RoutingTable = stored.table

    def endpoint(self, name: EndpointName) -> Endpoint:
        """Raises NotFound."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise NotFound("Endpoint", name)
        return endpoint

    async def change(self, decide: Callable[[Endpoints], Change]) -> bool:
        """Let ``decide`` look at all endpoints and write what it wants; one change at a time.

        Once begun it goes on to its end though its caller is cancelled, so that memory and SQL stay one.
        False when there was nothing to change. Raises what ``decide`` raises, and Unavailable.
        """
        return await asyncio.shield(asyncio.ensure_future(self._change(decide)))

    async def _change(self, decide: Callable[[Endpoints], Change]) -> bool:
        async with self._lock:
            change = decide(self.endpoints)
            if change == Change() or (change.taken and change.taken <= self.table.number):
                return False
            endpoints = {name: one for name, one in self.endpoints.items() if name not in change.removed}
            endpoints |= {one.name: one for one in change.written}
            table = self._next_table(endpoints, taken=change.taken)
            written = self._numbered(endpoints, change, table.number)
            endpoints |= {one.name: one for one in written}
            await asyncio.to_thread(self._store.save, written, change.removed, before=self.table, after=table)
            self.endpoints, self.table = endpoints, table
        self._moved.give()
        return True

    def _next_table(self, endpoints: Endpoints, *, taken: int) -> RoutingTable:
        table = derive(endpoints.values(), number=max(self.table.number, taken) + 1)
        return self.table if taken == 0 and same_content(table, self.table) else table

    def _numbered(self, endpoints: Endpoints, change: Change, number: int) -> list[Endpoint]:
        """What is written, with the number of the table that first shows it."""
        if change.taken:
            # Reports of the lost database's numbers say nothing of ours: every rollout is counted anew.
            rollouts = (one for one in endpoints.values() if one.phase in {Phase.LOADING, Phase.SWITCHING})
            return [replace(one, number=number) for one in rollouts]
        return [replace(one, number=number) if self._has_moved(one) else one for one in change.written]

    def _has_moved(self, endpoint: Endpoint) -> bool:
        before = self.endpoints.get(endpoint.name)
        return before is None or (before.phase, before.target) != (endpoint.phase, endpoint.target)
