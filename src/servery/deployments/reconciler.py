"""The loop that moves endpoints from what serves to what is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from servery.clock import Clock
from servery.deployments.config import Target, Versions, resolve
from servery.deployments.fleet import Fleet
from servery.deployments.ledger import Change, Endpoints, Ledger
from servery.deployments.policy import (
    Action,
    Fail,
    Finish,
    GatewayView,
    Load,
    Snapshot,
    Switch,
    Wait,
    is_settled,
    next_action,
)
from servery.deployments.signals import Signal
from servery.deployments.state import Endpoint, Failure, Phase, advance
from servery.deployments.store import EndpointStore
from servery.errors import LimitError, NotFound
from servery.names import EndpointName

RESOLVE_SECONDS = 30.0
"""How often aliases are looked up though nobody told of a move."""
RETRY_SECONDS = 1.0
"""How long to wait when the database could not be used."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Lookup:
    """What the entities of one endpoint's revision stand for."""

    id: str
    revision: int
    desired: Target | Failure


@dataclass(frozen=True, slots=True)
class _Wish:
    """Since when a config has been desired while there were live gateways, on the monotonic clock."""

    desired: Target | Failure
    since: float


class Reconciler:
    """Waits for a signal or a deadline, asks the policy, acts, records; again.

    Give ``wake`` when anything that a decision depends on has changed. ``moved`` is given by the ledger at
    every change and here at the end of every round.
    """

    def __init__(
        self,
        ledger: Ledger,
        fleet: Fleet,
        store: EndpointStore,
        versions: Versions,
        clock: Clock,
        *,
        wake: Signal,
        moved: Signal,
        known_gateways: Mapping[str, str],
        rollout_timeout_seconds: float,
    ) -> None:
        # What it works with.
        self._ledger, self._fleet, self._store = ledger, fleet, store
        self._versions, self._clock = versions, clock
        self._wake, self._moved = wake, moved
        self._rollout_timeout_seconds = rollout_timeout_seconds
        # What it has found out.
        self._lookups: dict[EndpointName, _Lookup] = {}
        self._resolve_at = clock.monotonic()
        self._known_gateways = dict(known_gateways)
        self._wishes: dict[EndpointName, _Wish] = {}
        # How far it is.
        self._tickets = 0
        self._rounds_for = 0
        self.healthy = False
        """It runs, and its last round went well."""
        self.has_ended = False

    def resolve_again(self) -> int:
        """Ask for a round that looks up all aliases; ``has_done(ticket)`` tells when it is over."""
        self._tickets += 1
        self._wake.give()
        return self._tickets

    def has_done(self, ticket: int) -> bool:
        return self._rounds_for >= ticket

    def desired(self, endpoint: Endpoint) -> Target | Failure | None:
        """What the last lookup said; None when what is asked for has not been looked up yet."""
        lookup = self._lookups.get(endpoint.name)
        is_current = lookup is not None and (lookup.id, lookup.revision) == (endpoint.id, endpoint.revision)
        return lookup.desired if lookup is not None and is_current else None

    async def run(self) -> None:
        """Until cancelled. An error that time may mend is logged and tried again; any other one ends it."""
        try:
            while True:
                seen = self._wake.count
                try:
                    await self.round()
                    self.healthy, timeout_seconds = True, self._next_look_seconds()
                except LimitError as error:
                    self.healthy, timeout_seconds = False, RETRY_SECONDS
                    _LOGGER.warning("reconciler: %s", error.message)
                self._moved.give()
                await self._wake.after(seen, timeout_seconds=timeout_seconds)
        finally:
            self.healthy, self.has_ended = False, True
            self._moved.give()

    async def round(self) -> None:
        """Do all that can be done now, one change after the other."""
        ticket = self._tickets
        await self._remember_gateways()
        await self._resolve(all_aliases=ticket > self._rounds_for or self._clock.monotonic() >= self._resolve_at)
        while await self._ledger.change(self._decide):
            await self._resolve(all_aliases=False)
        self._rounds_for = ticket

    async def _remember_gateways(self) -> None:
        live = self._fleet.live(now=self._clock.monotonic())
        addresses = {gateway.name: gateway.address for gateway in live}
        if addresses != self._known_gateways:
            await asyncio.to_thread(self._store.save_gateways, addresses)
            self._known_gateways = addresses

    async def _resolve(self, *, all_aliases: bool) -> None:
        """Look up what is asked for: where it is new, and where an alias may have moved."""
        endpoints = self._ledger.endpoints
        self._lookups = {name: lookup for name, lookup in self._lookups.items() if name in endpoints}
        stale = [one for one in endpoints.values() if self.desired(one) is None or (all_aliases and one.has_alias)]
        if stale:
            self._lookups |= await asyncio.to_thread(self._look_up_all, stale)
        if all_aliases:
            self._resolve_at = self._clock.monotonic() + RESOLVE_SECONDS

    def _look_up_all(self, endpoints: Sequence[Endpoint]) -> dict[EndpointName, _Lookup]:
        return {one.name: _Lookup(one.id, one.revision, look_up(one, self._versions)) for one in endpoints}

    def _decide(self, endpoints: Endpoints) -> Change:
        now = self._clock.monotonic()
        gateways = self._fleet.live(now=now)
        taken = max((gateway.table_number for gateway in gateways), default=0)
        if taken > self._ledger.table.number:
            return Change(taken=taken)
        wishes: dict[EndpointName, _Wish] = {}
        written = []
        for endpoint in endpoints.values():
            desired = self.desired(endpoint)
            if desired is None:
                continue
            wishes[endpoint.name] = wish = self._wish(endpoint, desired, now, has_gateways=bool(gateways))
            action = next_action(self._snapshot(endpoint, wish, gateways, now))
            if not isinstance(action, Wait):
                _LOGGER.info("endpoint %s: %s", endpoint.name, _say(endpoint, action))
                written.append(act(endpoint, action, now_ms=self._clock.now_ms()))
        self._wishes = wishes
        return Change(tuple(written))

    def _wish(self, endpoint: Endpoint, desired: Target | Failure, now: float, *, has_gateways: bool) -> _Wish:
        """A rollout's time runs while there is a gateway that could load it."""
        known = self._wishes.get(endpoint.name)
        return known if known is not None and known.desired == desired and has_gateways else _Wish(desired, now)

    def _snapshot(self, endpoint: Endpoint, wish: _Wish, gateways: tuple[GatewayView, ...], now: float) -> Snapshot:
        return Snapshot(
            endpoint=endpoint,
            desired=wish.desired,
            gateways=gateways,
            table_pools=frozenset(spec.key for spec in self._ledger.table.pools),
            elapsed_seconds=now - wish.since,
            timeout_seconds=self._rollout_timeout_seconds,
        )

    def _next_look_seconds(self) -> float:
        now = self._clock.monotonic()
        looks = [self._resolve_at - now]
        expiry = self._fleet.next_expiry(now=now)
        if expiry is not None:
            looks.append(expiry)
        for name, wish in self._wishes.items():
            endpoint = self._ledger.endpoints.get(name)
            if expiry is not None and endpoint is not None and not is_settled(endpoint, wish.desired):
                looks.append(wish.since + self._rollout_timeout_seconds - now)
        return max(0.0, min(looks))


def look_up(endpoint: Endpoint, versions: Versions) -> Target | Failure:
    """What is asked for, resolved now; or why it cannot be. Blocking."""
    try:
        return resolve(endpoint.entities, versions, revision=endpoint.revision, strict=endpoint.strict)
    except NotFound as error:
        return Failure(error.message)


def act(endpoint: Endpoint, action: Action, *, now_ms: int) -> Endpoint:
    """The endpoint after an action. Raises IllegalMove."""
    match action:
        case Load(target):
            return advance(endpoint, Phase.LOADING, target=target, now_ms=now_ms)
        case Switch(target):
            return advance(endpoint, Phase.SWITCHING, target=target, now_ms=now_ms)
        case Finish():
            return advance(endpoint, Phase.IDLE, target=None, now_ms=now_ms)
        case Fail(target, failure):
            return advance(endpoint, Phase.FAILED, target=target, failure=failure, now_ms=now_ms)
        case Wait():
            return endpoint


def _say(endpoint: Endpoint, action: Action) -> str:
    match action:
        case Load(target) | Switch(target):
            labels = ", ".join(entity.pool.label for entity in target.entities)
            return f"{'loading' if isinstance(action, Load) else 'switching to'} {labels}"
        case Fail(_, failure):
            return f"rollout failed: {failure.cause}"
        case _:
            return f"rollout of config {endpoint.config_version + 1} finished"
