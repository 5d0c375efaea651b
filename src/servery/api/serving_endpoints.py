"""Endpoints by HTTP, in the shape of managed MLflow serving."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from servery.api.endpoint_bodies import (
    ConfigBody,
    Tag,
    TrafficConfig,
    endpoint_body,
    entity_requests,
    percents,
    tags_body,
    warnings_of,
)
from servery.api.invocations import invoke
from servery.api.routes import Access, Route
from servery.api.rpc import rpc
from servery.api.services import Services
from servery.errors import InvalidInput
from servery.names import EndpointName, parse_endpoint_name

_ENDPOINTS = "/api/2.0/serving-endpoints"


class _Named(msgspec.Struct):
    name: str

    @property
    def endpoint(self) -> EndpointName:
        return parse_endpoint_name(self.name)


class _Nothing(msgspec.Struct):
    pass


class _Create(_Named):
    config: ConfigBody
    description: str | None = None
    tags: list[Tag] | None = None
    rate_limits: list[dict[str, Any]] | None = None
    ai_gateway: dict[str, Any] | None = None
    budget_policy_id: str | None = None
    email_notifications: dict[str, Any] | None = None
    telemetry_config: dict[str, Any] | None = None
    route_optimized: bool | None = None


class _UpdateConfig(_Named):
    served_entities: list[dict[str, Any]] | None = None
    served_models: list[dict[str, Any]] | None = None
    traffic_config: TrafficConfig | None = None
    auto_capture_config: dict[str, Any] | None = None
    strict: bool | None = None
    allow_incompatible: bool = False

    @property
    def config(self) -> ConfigBody:
        return ConfigBody(**{name: getattr(self, name) for name in ConfigBody.__struct_fields__})


class _PatchTags(_Named):
    add_tags: list[Tag] | None = None
    delete_tags: list[str] | None = None


async def _create(services: Services, body: _Create) -> dict[str, Any]:
    warnings = warnings_of(msgspec.to_builtins(body), body.config)
    status = await services.deployments.create(
        body.endpoint,
        entity_requests(body.config) or [],
        percents(body.config),
        strict=bool(body.config.strict),
        description=body.description or "",
        tags={tag.key: tag.value for tag in body.tags or ()},
    )
    return endpoint_body(status, warnings=warnings)


async def _list(services: Services, _body: _Nothing) -> dict[str, Any]:
    return {"endpoints": [endpoint_body(status) for status in await services.deployments.list_all()]}


async def _get(services: Services, body: _Named) -> dict[str, Any]:
    return endpoint_body(await services.deployments.get(body.endpoint))


async def _delete(services: Services, body: _Named) -> None:
    await services.deployments.delete(body.endpoint)


async def _update_config(services: Services, body: _UpdateConfig) -> dict[str, Any]:
    warnings = warnings_of({}, body.config)
    status = await services.deployments.update_config(
        body.endpoint,
        entity_requests(body.config),
        percents(body.config),
        strict=body.strict,
        allow_incompatible=body.allow_incompatible,
    )
    return endpoint_body(status, warnings=warnings)


async def _rollback(services: Services, body: _Named) -> dict[str, Any]:
    return endpoint_body(await services.deployments.rollback(body.endpoint))


async def _get_tags(services: Services, body: _Named) -> dict[str, Any]:
    return {"tags": tags_body(services.deployments.endpoint(body.endpoint).tags)}


async def _patch_tags(services: Services, body: _PatchTags) -> dict[str, Any]:
    added = {tag.key: tag.value for tag in body.add_tags or ()}
    tags = await services.deployments.patch_tags(body.endpoint, add=added, remove=body.delete_tags or ())
    return {"tags": tags_body(tags)}


async def _put_rate_limits(services: Services, body: _Named) -> Response:
    services.deployments.endpoint(body.endpoint)
    raise InvalidInput("rate_limits", expected="nothing, since they are not supported yet", got="rate limits")


ROUTES = (
    Route("POST", _ENDPOINTS, rpc(_Create, _create), Access.DEPLOY),
    Route("GET", _ENDPOINTS, rpc(_Nothing, _list), Access.VIEW),
    # mlflow.deployments ends these two paths with a slash.
    Route("POST", f"{_ENDPOINTS}/", rpc(_Create, _create), Access.DEPLOY),
    Route("GET", f"{_ENDPOINTS}/", rpc(_Nothing, _list), Access.VIEW),
    Route("GET", f"{_ENDPOINTS}/{{name}}", rpc(_Named, _get), Access.VIEW),
    Route("DELETE", f"{_ENDPOINTS}/{{name}}", rpc(_Named, _delete), Access.MANAGE),
    Route("PUT", f"{_ENDPOINTS}/{{name}}/config", rpc(_UpdateConfig, _update_config), Access.DEPLOY),
    Route("GET", f"{_ENDPOINTS}/{{name}}/tags", rpc(_Named, _get_tags), Access.VIEW),
    Route("PATCH", f"{_ENDPOINTS}/{{name}}/tags", rpc(_PatchTags, _patch_tags), Access.EDIT),
    Route("PUT", f"{_ENDPOINTS}/{{name}}/rate-limits", rpc(_Named, _put_rate_limits), Access.DEPLOY),
    Route("POST", "/api/2.0/servery/endpoints/{name}/rollback", rpc(_Named, _rollback), Access.DEPLOY),
    Route("POST", "/serving-endpoints/{name}/invocations", invoke, Access.INVOKE),
)
