"""Endpoints: what the control plane does with them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Engine

from servery.clock import Clock
from servery.deployments.callers import refuse_incompatible, refuse_incompatible_alias
from servery.deployments.config import (
    Entity,
    EntityRequest,
    Versions,
    parse_entities,
    pinned,
    resolve,
    with_percents,
)
from servery.deployments.fleet import Fleet
from servery.deployments.ledger import Change, Endpoints, Ledger
from servery.deployments.policy import GatewayView, is_settled
from servery.deployments.reconciler import Reconciler, look_up
from servery.deployments.signals import Signal
from servery.deployments.state import Endpoint
from servery.deployments.status import EndpointStatus, describe
from servery.deployments.store import EndpointStore
from servery.errors import AlreadyExists, CallerError, InvalidInput
from servery.names import Alias, EndpointName, ModelName, Version
from servery.routing import GatewayReport, RoutingTable

SETTLE_SECONDS = 60.0
"""How long the move of an alias waits for the endpoints that follow it."""
DELETE_SECONDS = 10.0
"""How long a deletion waits for the gateways to stop routing."""


class Deployments:
    """Endpoints, their rollouts, and the gateways that follow them.

    Built on a migrated database, from which it goes on. Everything async belongs to one event loop, which
    also runs ``run()``; ``endpoints_using`` and ``table`` may be called from any thread.
    """

    def __init__(
        self, engine: Engine, registry: Versions, clock: Clock, *, rollout_timeout_seconds: float = 600.0
    ) -> None:
        self._versions, self._clock = registry, clock
        self._store = EndpointStore(engine)
        stored = self._store.load()
        self._wake, self._moved = Signal(), Signal()
        self._stopping = False
        self._ledger = Ledger(self._store, stored, self._moved)
        self._fleet = Fleet(stored.gateways, now=clock.monotonic())
        self._reconciler = Reconciler(
            self._ledger,
            self._fleet,
            self._store,
            registry,
            clock,
            wake=self._wake,
            moved=self._moved,
            known_gateways=stored.gateways,
            rollout_timeout_seconds=rollout_timeout_seconds,
        )

    # The reconciler.

    async def run(self) -> None:
        """Reconcile until cancelled. Ends with an error only for a bug: then ``healthy`` stays False."""
        await self._reconciler.run()

    def stop_waiting(self) -> None:
        """The process is about to end: whoever waits for the next table is answered now."""
        self._stopping = True
        self._moved.give()

    async def reconcile(self) -> None:
        """One round of what ``run`` does all the time."""
        await self._reconciler.round()

    @property
    def healthy(self) -> bool:
        """Endpoints follow what is asked."""
        return self._reconciler.healthy

    # What people ask for.

    async def create(
        self,
        name: EndpointName,
        requests: Sequence[EntityRequest],
        percents: Mapping[str, int] | None = None,
        *,
        strict: bool = False,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> EndpointStatus:
        """Raises InvalidInput, AlreadyExists, and NotFound for a model, version or alias."""
        entities = parse_entities(requests, percents)
        await asyncio.to_thread(resolve, entities, self._versions, revision=0)
        now_ms = self._clock.now_ms()
        endpoint = Endpoint(
            name=name,
            id=uuid.uuid4().hex,
            description=description,
            tags=dict(tags or {}),
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
            revision=1,
            entities=entities,
            strict=strict,
        )

        def add(endpoints: Endpoints) -> Change:
            if name in endpoints:
                raise AlreadyExists("Endpoint", name)
            return Change((endpoint,))

        await self._change(add)
        return await self.get(name)

    def endpoint(self, name: EndpointName) -> Endpoint:
        """Raises NotFound."""
        return self._ledger.endpoint(name)

    async def get(self, name: EndpointName) -> EndpointStatus:
        """Raises NotFound."""
        return (await self._describe([self._ledger.endpoint(name)]))[0]

    async def list_all(self) -> list[EndpointStatus]:
        endpoints = self._ledger.endpoints
        return await self._describe([endpoints[name] for name in sorted(endpoints)])

    async def update_config(
        self,
        name: EndpointName,
        requests: Sequence[EntityRequest] | None,
        percents: Mapping[str, int] | None = None,
        *,
        strict: bool | None = None,
        allow_incompatible: bool = False,
    ) -> EndpointStatus:
        """Ask for another config; the newest one wins. What is None stays as it is.

        Raises InvalidInput, NotFound for the endpoint or for a model, version or alias, and Incompatible.
        """
        endpoint = self._ledger.endpoint(name)
        if requests is not None:
            entities = parse_entities(requests, percents)
        elif percents is not None:
            entities = with_percents(endpoint.entities, percents)
        elif strict is not None:
            entities = endpoint.entities
        else:
            raise InvalidInput("served_entities", expected="entities, a traffic_config or strict", got="nothing")
        strict = endpoint.strict if strict is None else strict
        return await self._ask(name, entities, strict=strict, allow_incompatible=allow_incompatible)

    async def rollback(self, name: EndpointName) -> EndpointStatus:
        """Go back to the config that served before, by its versions.

        While a rollout is under way, and after one that failed, that is the active config; otherwise the newest
        one that differs from it. It needs no word where versions are incompatible: going back is the rescue.
        Raises NotFound, and CallerError when there is none.
        """
        endpoint = self._ledger.endpoint(name)
        present = endpoint.target or endpoint.active
        for target in await asyncio.to_thread(self._store.configs, name):
            if present is not None and (pinned(target), target.strict) != (pinned(present), present.strict):
                return await self._ask(name, pinned(target), strict=target.strict, allow_incompatible=True)
        raise CallerError(f"Endpoint '{name}' has served no other config to go back to.")

    async def patch_tags(
        self, name: EndpointName, *, add: Mapping[str, str], remove: Iterable[str]
    ) -> Mapping[str, str]:
        """Raises NotFound."""
        removed = frozenset(remove)

        def change(endpoint: Endpoint) -> Endpoint:
            kept = {key: value for key, value in endpoint.tags.items() if key not in removed}
            return replace(endpoint, tags=kept | dict(add))

        await self._change(lambda endpoints: self._one(endpoints, name, change))
        return self._ledger.endpoint(name).tags

    async def delete(self, name: EndpointName) -> None:
        """Take an endpoint off the table; returns when the live gateways no longer route to it. Raises NotFound."""
        self._ledger.endpoint(name)
        await self._change(lambda endpoints: Change(removed=(name,) if name in endpoints else ()))
        number = self._ledger.table.number
        await self._moved.until(
            lambda: all(gateway.table_number >= number for gateway in self.gateways()), timeout_seconds=DELETE_SECONDS
        )

    # What the registry asks.

    def endpoints_using(self, model: ModelName, version: Version | None = None) -> list[EndpointName]:
        """The endpoints that serve, load or ask for a model; with ``version``, for that one version of it."""
        endpoints = self._ledger.endpoints
        return sorted(name for name, endpoint in endpoints.items() if endpoint.uses(model, version))

    async def refuse_incompatible_alias(self, model: ModelName, alias: Alias, version: Version) -> None:
        """Raises Incompatible where an endpoint would follow the alias to a version that its callers cannot call."""
        endpoints = list(self._ledger.endpoints.values())
        await asyncio.to_thread(refuse_incompatible_alias, endpoints, model, alias, version, self._versions)

    async def model_changed(self, model: ModelName) -> None:
        """An alias of the model has moved. Returns when the endpoints that follow one have moved or failed.

        That wait ends after a minute, and does not begin while no gateway is live.
        """
        following = [name for name, endpoint in self._ledger.endpoints.items() if endpoint.follows(model)]
        if not following:
            return
        ticket = self._reconciler.resolve_again()

        def is_over() -> bool:
            if not self.gateways() or self._reconciler.has_ended:
                return True
            return self._reconciler.has_done(ticket) and all(self._is_settled(name) for name in following)

        await self._moved.until(is_over, timeout_seconds=SETTLE_SECONDS)

    # What gateways ask and tell.

    def table(self) -> RoutingTable:
        """The newest one."""
        return self._ledger.table

    async def next_table(self, after: int, *, timeout_seconds: float) -> RoutingTable | None:
        """The newest table once its number is above ``after``; None when it is not in time."""
        await self._moved.until(lambda: self.table().number > after or self._stopping, timeout_seconds=timeout_seconds)
        table = self.table()
        return table if table.number > after else None

    def report(self, report: GatewayReport) -> None:
        """Raises InvalidInput."""
        if self._fleet.report(report, now=self._clock.monotonic()):
            self._wake.give()

    def gateways(self) -> tuple[GatewayView, ...]:
        """The live ones, by name."""
        return self._fleet.live(now=self._clock.monotonic())

    # Inside.

    async def _ask(
        self, name: EndpointName, entities: tuple[Entity, ...], *, strict: bool, allow_incompatible: bool
    ) -> EndpointStatus:
        wanted = await asyncio.to_thread(resolve, entities, self._versions, revision=0)
        if not allow_incompatible:
            endpoint = self._ledger.endpoint(name)
            await asyncio.to_thread(refuse_incompatible, endpoint, wanted.entities, self._versions)

        def change(endpoint: Endpoint) -> Endpoint:
            now_ms, revision = self._clock.now_ms(), endpoint.revision + 1
            return replace(endpoint, entities=entities, strict=strict, revision=revision, updated_at_ms=now_ms)

        await self._change(lambda endpoints: self._one(endpoints, name, change))
        return await self.get(name)

    def _one(self, endpoints: Endpoints, name: EndpointName, change: Callable[[Endpoint], Endpoint]) -> Change:
        self._ledger.endpoint(name)
        return Change((change(endpoints[name]),))

    async def _change(self, decide: Callable[[Endpoints], Change]) -> None:
        await self._ledger.change(decide)
        self._wake.give()

    async def _describe(self, endpoints: Sequence[Endpoint]) -> list[EndpointStatus]:
        # The lookup follows the reading of the endpoints: an alias that has moved by now is never missed.
        desired = await asyncio.to_thread(lambda: [look_up(endpoint, self._versions) for endpoint in endpoints])
        gateways = self.gateways()
        return [describe(one, target, gateways) for one, target in zip(endpoints, desired, strict=True)]

    def _is_settled(self, name: EndpointName) -> bool:
        endpoint = self._ledger.endpoints.get(name)
        desired = None if endpoint is None else self._reconciler.desired(endpoint)
        return endpoint is None or (desired is not None and is_settled(endpoint, desired))
