"""What to do next with one endpoint: a pure function of what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from servery.deployments.config import ServedEntity, Target
from servery.deployments.state import Endpoint, Failure, Phase
from servery.errors import LoadFailed
from servery.routing import PoolKey, PoolReport, PoolState


@dataclass(frozen=True, slots=True)
class GatewayView:
    """A live gateway as its last report shows it; ``pools`` is None until it has reported to this process."""

    name: str
    address: str
    table_number: int
    pools: Mapping[PoolKey, PoolReport] | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision about one endpoint depends on."""

    endpoint: Endpoint
    desired: Target | Failure
    """What was asked for, resolved now; or why it cannot be resolved."""
    gateways: tuple[GatewayView, ...]
    """The live ones."""
    table_pools: frozenset[PoolKey]
    """The pools of the newest table."""
    elapsed_seconds: float
    """How long the same config has been desired while there were live gateways."""
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something changes."""


@dataclass(frozen=True, slots=True)
class Load:
    """Publish the target's pools beside the active ones."""

    target: Target


@dataclass(frozen=True, slots=True)
class Switch:
    """Publish routes to the target."""

    target: Target


@dataclass(frozen=True, slots=True)
class Finish:
    """Every live gateway routes to the target: make it active and drop the pools of before."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Drop the target's pools and go on with the active config."""

    target: Target | None
    failure: Failure


Action = Wait | Load | Switch | Finish | Fail


def next_action(snapshot: Snapshot) -> Action:
    """Decide one step; the caller asks again once it is done."""
    endpoint, desired = snapshot.endpoint, snapshot.desired
    under_way = endpoint.target if endpoint.phase in {Phase.LOADING, Phase.SWITCHING} else None
    if isinstance(desired, Failure):
        # What is under way goes on: it was there when it was asked for.
        if under_way is not None:
            return _step(snapshot, under_way)
        return Wait() if endpoint.failure == desired else Fail(None, desired)
    if desired == endpoint.target:
        return _step(snapshot, desired) if under_way is not None else Wait()
    if _is_active(endpoint, desired) and endpoint.phase is not Phase.SWITCHING:
        # Not simply idle again: a gateway may be behind, and only SWITCHING ends when all have caught up.
        return Wait() if endpoint.phase is Phase.IDLE else Switch(desired)
    holder = _holds_failed_pool(snapshot, desired)
    if holder is None:
        return Load(desired)
    if endpoint.phase is Phase.SWITCHING and under_way is not None:
        return _step(snapshot, under_way)
    if snapshot.elapsed_seconds >= snapshot.timeout_seconds:
        cause = f"Gateway {holder.name} did not forget the last attempt within {snapshot.timeout_seconds:g} s."
        return Fail(desired, Failure(cause))
    return Wait()


def is_settled(endpoint: Endpoint, desired: Target | Failure) -> bool:
    """Nothing is left to do for what is asked for now: it serves, or it has failed."""
    if isinstance(desired, Failure):
        return endpoint.phase is Phase.FAILED
    if endpoint.phase is Phase.FAILED:
        return desired == endpoint.target
    return endpoint.phase is Phase.IDLE and _is_active(endpoint, desired)


def _is_active(endpoint: Endpoint, desired: Target) -> bool:
    return endpoint.active is not None and endpoint.active.serves_as(desired)


def _holds_failed_pool(snapshot: Snapshot, desired: Target) -> GatewayView | None:
    """A gateway that still holds a failed pool of this target, from an attempt before, which the table has dropped.

    To name that pool again now could leave it failed for good: the gateway may never see the table without it.
    Nor is anything known of a gateway that has not reported to this process yet.
    """
    dropped = [entity.pool.key for entity in desired.entities if entity.pool.key not in snapshot.table_pools]
    for gateway in snapshot.gateways:
        pools = gateway.pools
        if pools is None or any(key in pools and pools[key].state is PoolState.FAILED for key in dropped):
            return gateway
    return None


def _step(snapshot: Snapshot, target: Target) -> Action:
    """Go on with the target that is under way."""
    endpoint = snapshot.endpoint
    if not snapshot.gateways:
        return Wait()
    failure = _load_failure(snapshot, target)
    if failure is not None:
        return Fail(target, failure)
    if endpoint.phase is Phase.LOADING and not _laggards(snapshot, target):
        return Switch(target)
    if endpoint.phase is Phase.SWITCHING and all(one.table_number >= endpoint.number for one in snapshot.gateways):
        return Finish()
    if snapshot.elapsed_seconds >= snapshot.timeout_seconds:
        return Fail(target, _timeout_failure(snapshot, target))
    return Wait()


def _load_failure(snapshot: Snapshot, target: Target) -> Failure | None:
    by_entity: dict[str, str] = {}
    for entity in target.entities:
        for gateway in snapshot.gateways:
            report = (gateway.pools or {}).get(entity.pool.key)
            if report is not None and report.state is PoolState.FAILED:
                by_entity[entity.name] = LoadFailed(entity.pool.label, report.cause or "no cause was given.").message
                break
    return Failure(next(iter(by_entity.values())), by_entity) if by_entity else None


def _laggards(snapshot: Snapshot, target: Target) -> list[tuple[ServedEntity, GatewayView]]:
    """Which entities are not ready on which live gateways."""
    number = snapshot.endpoint.number
    return [
        (entity, gateway)
        for entity in target.entities
        for gateway in snapshot.gateways
        if not _is_ready(entity, gateway, number)
    ]


def _is_ready(entity: ServedEntity, gateway: GatewayView, number: int) -> bool:
    # A report from before the table of this attempt may speak of the same pool, now dropped and named again.
    if gateway.pools is None or gateway.table_number < number:
        return False
    report = gateway.pools.get(entity.pool.key)
    return report is not None and report.state is PoolState.READY and report.workers_ready >= entity.replicas


def _timeout_failure(snapshot: Snapshot, target: Target) -> Failure:
    seconds = f"{snapshot.timeout_seconds:g} s"
    if snapshot.endpoint.phase is Phase.SWITCHING:
        behind = [one.name for one in snapshot.gateways if one.table_number < snapshot.endpoint.number]
        return Failure(f"Gateway {', '.join(behind)} did not apply the new routes within {seconds}.")
    by_entity: dict[str, str] = {}
    for entity, gateway in _laggards(snapshot, target):
        cause = f"{entity.pool.label} was not ready on gateway {gateway.name} within {seconds}."
        by_entity.setdefault(entity.name, cause)
    return Failure(next(iter(by_entity.values())), by_entity)
