"""The serving-endpoints shape: from what callers write to what endpoints are, and back.

The shape is that of managed MLflow serving, as databricks-sdk and mlflow.deployments read and write it. What
means nothing here is ignored with a warning, or refused where to ignore it would mislead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from servery.deployments.config import Entity, EntityRequest, ServedEntity, Target
from servery.deployments.state import Endpoint
from servery.deployments.status import Deployment, EndpointStatus, EntityStatus
from servery.errors import InvalidInput

_MACHINE = "workers run on the gateway's own machine"
_ENTITY_IGNORED: Mapping[str, str] = {
    "workload_size": "min_provisioned_concurrency is the number of workers",
    "workload_type": _MACHINE,
    "scale_to_zero_enabled": "workers stay",
    "max_provisioned_concurrency": "min_provisioned_concurrency is the number of workers",
    "instance_profile_arn": _MACHINE,
    "min_provisioned_throughput": _MACHINE,
    "max_provisioned_throughput": _MACHINE,
    "provisioned_model_units": _MACHINE,
    "burst_scaling_enabled": "workers neither come nor go with the load",
}
_ENTITY_REFUSED = ("external_model",)
_ENDPOINT_IGNORED: Mapping[str, str] = {
    "ai_gateway": "there is no AI gateway",
    "budget_policy_id": "there are no budgets",
    "email_notifications": "no mail is sent",
    "telemetry_config": "there is no catalog",
    "route_optimized": "every endpoint has its own endpoint_url",
}


class TrafficRoute(msgspec.Struct):
    traffic_percentage: int
    served_entity_name: str | None = None
    served_model_name: str | None = None


class TrafficConfig(msgspec.Struct):
    routes: list[TrafficRoute] | None = None


class ConfigBody(msgspec.Struct):
    """``served_models`` is the older name of ``served_entities``."""

    served_entities: list[dict[str, Any]] | None = None
    served_models: list[dict[str, Any]] | None = None
    traffic_config: TrafficConfig | None = None
    auto_capture_config: dict[str, Any] | None = None
    strict: bool | None = None
    """Ours: whether a coercion that loses something is refused. None leaves it as it is."""
    allow_incompatible: bool = False
    """Ours: the word that it takes to deploy over a version whose callers cannot call the new one."""


class Tag(msgspec.Struct):
    key: str
    value: str = ""


def entity_requests(config: ConfigBody) -> list[EntityRequest] | None:
    """What is to be served; None when the config does not speak of it. Raises InvalidInput."""
    given = config.served_entities or config.served_models
    if given is None:
        return None
    return [_entity_request(entity, f"served_entities[{index}]") for index, entity in enumerate(given)]


def _entity_request(entity: Mapping[str, Any], field: str) -> EntityRequest:
    for key in _ENTITY_REFUSED:
        if entity.get(key):
            raise InvalidInput(f"{field}.{key}", expected="nothing, since it is not supported", got=entity[key])
    # An answer of ours has the alias and the version that it stood for; given back, the alias counts.
    alias = entity.get("entity_alias")
    return EntityRequest(
        model=entity.get("entity_name", entity.get("model_name")),
        version=f"@{alias}" if alias else entity.get("entity_version", entity.get("model_version")),
        name=entity.get("name"),
        replicas=entity.get("min_provisioned_concurrency"),
        variables=entity.get("environment_vars"),
    )


def percents(config: ConfigBody) -> dict[str, int] | None:
    """The shares by entity name; None when the config does not speak of them. Raises InvalidInput."""
    if config.traffic_config is None or config.traffic_config.routes is None:
        return None
    shares: dict[str, int] = {}
    for index, route in enumerate(config.traffic_config.routes):
        name = route.served_entity_name or route.served_model_name
        if name is None or name in shares:
            field = f"traffic_config.routes[{index}].served_entity_name"
            raise InvalidInput(field, expected="the name of a served entity, each once", got=name)
        shares[name] = route.traffic_percentage
    return shares


def warnings_of(endpoint: Mapping[str, Any], config: ConfigBody) -> list[str]:
    """One sentence for each thing that was asked for and is ignored.

    Raises:
        InvalidInput: the caller would count on it.
    """
    if endpoint.get("rate_limits"):
        raise InvalidInput("rate_limits", expected="nothing, since they are not supported yet", got="rate limits")
    if config.auto_capture_config and config.auto_capture_config.get("enabled") is not False:
        expected = "nothing, since inference tables are not supported yet"
        raise InvalidInput("auto_capture_config", expected=expected, got="a table to fill")
    found = [f"{key} is ignored: {why}." for key, why in _ENDPOINT_IGNORED.items() if endpoint.get(key)]
    for index, entity in enumerate(config.served_entities or config.served_models or ()):
        for key, why in _ENTITY_IGNORED.items():
            meant = entity.get(key) not in (None, False, "CPU")
            if meant and not (key.startswith("max_") and entity[key] == entity.get(key.replace("max_", "min_", 1))):
                found.append(f"served_entities[{index}].{key} is ignored: {why}.")
    return found


def endpoint_body(status: EndpointStatus, *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The endpoint, with what is ours besides: ``failure``, ``warnings``, ``strict``, each ``entity_alias``."""
    endpoint = status.endpoint
    body: dict[str, Any] = {
        "name": endpoint.name,
        "id": endpoint.id,
        "description": endpoint.description,
        "tags": tags_body(endpoint.tags),
        "creation_timestamp": endpoint.created_at_ms,
        "last_updated_timestamp": endpoint.updated_at_ms,
        "state": {"ready": "READY" if status.is_ready else "NOT_READY", "config_update": status.update.value},
        "permission_level": "CAN_MANAGE",
        "route_optimized": False,
    }
    if endpoint.active is not None:
        body["config"] = _config_body(endpoint.active, status.active_entities, endpoint.config_version, status)
    pending = _pending_body(status)
    if pending is not None:
        body["pending_config"] = pending
    if status.addresses:
        body["endpoint_url"] = f"{status.addresses[0].rstrip('/')}/endpoints/{endpoint.name}/invocations"
    if status.failure is not None:
        body["failure"] = status.failure.cause
    if warnings:
        body["warnings"] = list(warnings)
    return body


def tags_body(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _pending_body(status: EndpointStatus) -> dict[str, Any] | None:
    endpoint, version = status.endpoint, status.endpoint.config_version + 1
    start = {"start_time": max(endpoint.updated_at_ms, endpoint.started_at_ms)}
    if status.pending is not None:
        return _config_body(status.pending, status.pending_entities, version, status) | start
    if status.failure is not None:
        # It could not be resolved: there is only what was asked for, and why that cannot be.
        failed = EntityStatus(Deployment.FAILED, status.failure.cause)
        return _config_body(endpoint, {one.name: failed for one in endpoint.entities}, version, status) | start
    return None


def _config_body(
    config: Target | Endpoint,
    statuses: Mapping[str, EntityStatus],
    config_version: int,
    status: EndpointStatus,
) -> dict[str, Any]:
    entities: Sequence[Entity | ServedEntity] = config.entities
    created_at_ms = status.endpoint.created_at_ms
    return {
        "served_entities": [_entity_body(entity, statuses[entity.name], created_at_ms) for entity in entities],
        "traffic_config": {"routes": [_route_body(entity) for entity in entities]},
        "config_version": config_version,
        "strict": config.strict,
    }


def _entity_body(entity: Entity | ServedEntity, status: EntityStatus, created_at_ms: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": entity.name,
        "entity_name": entity.model,
        "entity_version": str(entity.version or f"@{entity.alias}"),
        "min_provisioned_concurrency": entity.replicas,
        "max_provisioned_concurrency": entity.replicas,
        "scale_to_zero_enabled": False,
        "workload_type": "CPU",
        "creation_timestamp": created_at_ms,
        "state": {"deployment": status.deployment.value, "deployment_state_message": status.message},
    }
    if entity.variables:
        body["environment_vars"] = dict(entity.variables)
    return body | ({"entity_alias": entity.alias} if entity.alias else {})


def _route_body(entity: Entity | ServedEntity) -> dict[str, Any]:
    return {
        "served_entity_name": entity.name,
        "served_model_name": entity.name,
        "traffic_percentage": entity.percent,
    }
