"""How an endpoint stands, for people and clients: a pure function of what is known at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from servery.deployments.config import ServedEntity, Target
from servery.deployments.policy import GatewayView, is_settled
from servery.deployments.state import Endpoint, Failure, Phase
from servery.routing import PoolState


class ConfigUpdate(StrEnum):
    """Whether what is asked for is what serves. The names are the serving-endpoints API's."""

    NOT_UPDATING = "NOT_UPDATING"
    """It is, on every live gateway."""
    IN_PROGRESS = "IN_PROGRESS"
    UPDATE_FAILED = "UPDATE_FAILED"
    """It is not, and nothing more is tried until something else is asked for."""


class Deployment(StrEnum):
    """How one served entity stands. The names are the serving-endpoints API's."""

    CREATING = "DEPLOYMENT_CREATING"
    READY = "DEPLOYMENT_READY"
    FAILED = "DEPLOYMENT_FAILED"
    ABORTED = "DEPLOYMENT_ABORTED"
    """It was not at fault, but was given up with the entity that was."""
    RECOVERING = "DEPLOYMENT_RECOVERING"
    """It has served, and is not ready on every live gateway at the moment."""


@dataclass(frozen=True, slots=True)
class EntityStatus:
    deployment: Deployment
    message: str = ""


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint with everything that its answer to GET holds."""

    endpoint: Endpoint
    update: ConfigUpdate
    is_ready: bool
    """A live gateway has every version of the active config ready."""
    failure: Failure | None
    pending: Target | None
    """What is asked for and does not serve: still to come, or failed."""
    active_entities: Mapping[str, EntityStatus]
    pending_entities: Mapping[str, EntityStatus]
    addresses: tuple[str, ...]
    """The live gateways', in the order of their names."""


def describe(endpoint: Endpoint, desired: Target | Failure, gateways: tuple[GatewayView, ...]) -> EndpointStatus:
    """``desired`` must have been looked up after ``endpoint`` was read, so that no move of an alias is missed."""
    failure = _failure(endpoint, desired)
    if not is_settled(endpoint, desired) and failure is None:
        update = ConfigUpdate.IN_PROGRESS
    else:
        update = ConfigUpdate.NOT_UPDATING if failure is None else ConfigUpdate.UPDATE_FAILED
    pending = None if update is ConfigUpdate.NOT_UPDATING or isinstance(desired, Failure) else desired
    active = endpoint.active.entities if endpoint.active is not None else ()
    return EndpointStatus(
        endpoint=endpoint,
        update=update,
        is_ready=any(active and all(_is_ready(entity, gateway) for entity in active) for gateway in gateways),
        failure=failure,
        pending=pending,
        active_entities={entity.name: _active_status(entity, gateways) for entity in active},
        pending_entities={
            entity.name: _pending_status(entity, failure, gateways) for entity in (pending.entities if pending else ())
        },
        addresses=tuple(gateway.address for gateway in gateways),
    )


def _failure(endpoint: Endpoint, desired: Target | Failure) -> Failure | None:
    if isinstance(desired, Failure):
        return desired if endpoint.phase in {Phase.IDLE, Phase.FAILED} else None
    return endpoint.failure if is_settled(endpoint, desired) else None


def _active_status(entity: ServedEntity, gateways: tuple[GatewayView, ...]) -> EntityStatus:
    if not gateways:
        return EntityStatus(Deployment.RECOVERING, "No gateway is connected.")
    for gateway in gateways:
        report = (gateway.pools or {}).get(entity.pool.key)
        if report is not None and report.state is PoolState.FAILED:
            return EntityStatus(Deployment.FAILED, f"Gateway {gateway.name}: {report.cause or 'no cause was given.'}")
    waiting = [gateway.name for gateway in gateways if not _is_ready(entity, gateway)]
    if waiting:
        return EntityStatus(Deployment.RECOVERING, f"Not ready on gateway {', '.join(waiting)}.")
    return EntityStatus(Deployment.READY)


def _pending_status(entity: ServedEntity, failure: Failure | None, gateways: tuple[GatewayView, ...]) -> EntityStatus:
    if failure is not None:
        cause = failure.by_entity.get(entity.name)
        if cause is None and failure.by_entity:
            return EntityStatus(Deployment.ABORTED, failure.cause)
        return EntityStatus(Deployment.FAILED, cause or failure.cause)
    if not gateways:
        return EntityStatus(Deployment.CREATING, "Waiting for a gateway to connect.")
    waiting = [gateway.name + _stage(entity, gateway) for gateway in gateways if not _is_ready(entity, gateway)]
    return EntityStatus(Deployment.CREATING, f"Loading on gateway {', '.join(waiting)}." if waiting else "Loaded.")


def _stage(entity: ServedEntity, gateway: GatewayView) -> str:
    report = (gateway.pools or {}).get(entity.pool.key)
    return f" ({report.stage})" if report is not None and report.stage else ""


def _is_ready(entity: ServedEntity, gateway: GatewayView) -> bool:
    report = (gateway.pools or {}).get(entity.pool.key)
    return report is not None and report.state is PoolState.READY
