"""MLflow's model registry over HTTP: the calls that a stock client makes for models, versions and aliases.

Field names, paths and codes are those of ``mlflow/protos/model_registry.proto`` (release 3.17).
"""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from servery.api import mlflow_requests as requests
from servery.api.errors import error_body
from servery.api.mlflow_messages import model_message, version_message
from servery.api.routes import Access, Route, on_each
from servery.api.rpc import json_response, rpc
from servery.api.services import Services
from servery.errors import InUse, InvalidInput, NotFound
from servery.names import ModelName, Version, parse_alias, parse_model_name, parse_version

_STAGES = frozenset({"none", "staging", "production", "archived"})


def _create_model(services: Services, body: requests.CreateModel) -> dict[str, Any]:
    record = services.registry.create_model(
        parse_model_name(body.name), description=body.description, tags=_tags(body.tags)
    )
    return {"registered_model": model_message(record)}


def _get_model(services: Services, body: requests.Model) -> dict[str, Any]:
    return {"registered_model": model_message(services.registry.get_model(parse_model_name(body.name)))}


def _search_models(services: Services, body: requests.SearchModels) -> dict[str, Any]:
    page = services.registry.search_models(
        body.filter, order_by=body.order_by, max_results=body.max_results, page_token=body.page_token
    )
    return _with_token("registered_models", [model_message(record) for record in page.records], page.next_page_token)


def _update_model(services: Services, body: requests.UpdateModel) -> dict[str, Any]:
    record = services.registry.update_model(parse_model_name(body.name), description=body.description)
    return {"registered_model": model_message(record)}


def _rename_model(services: Services, body: requests.RenameModel) -> dict[str, Any]:
    name, new_name = parse_model_name(body.name), parse_model_name(body.new_name, field="new_name")
    _refuse_in_use(services, name, None)
    return {"registered_model": model_message(services.registry.rename_model(name, new_name=new_name))}


def _delete_model(services: Services, body: requests.Model) -> None:
    name = parse_model_name(body.name)
    _refuse_in_use(services, name, None)
    services.registry.delete_model(name)


def _latest_versions(services: Services, body: requests.LatestVersions) -> dict[str, Any]:
    """The newest version: every version here is in the stage None, which aliases replace."""
    for stage in body.stages:
        if stage.lower() not in _STAGES:
            raise InvalidInput("stages", expected="None, Staging, Production or Archived", got=stage)
    record = services.registry.get_model(parse_model_name(body.name)).latest
    asked = not body.stages or "none" in {stage.lower() for stage in body.stages}
    return {"model_versions": [version_message(record)] if record and asked else []}


def _set_model_tag(services: Services, body: requests.SetModelTag) -> None:
    services.registry.set_model_tag(parse_model_name(body.name), key=body.key, value=body.value)


def _delete_model_tag(services: Services, body: requests.DeleteModelTag) -> None:
    services.registry.delete_model_tag(parse_model_name(body.name), key=body.key)


async def _set_alias(services: Services, body: requests.SetAlias) -> None:
    """Answers when the endpoints that follow the alias have moved, or have failed to.

    Refused as a whole where one of them serves callers who could not call the version.
    """
    name, alias, version = parse_model_name(body.name), parse_alias(body.alias), parse_version(body.version)
    if not body.allow_incompatible:
        await services.deployments.refuse_incompatible_alias(name, alias, version)
    await run_in_threadpool(services.registry.set_alias, name, alias, version)
    await services.deployments.model_changed(name)


async def _delete_alias(services: Services, body: requests.Alias) -> None:
    name, alias = parse_model_name(body.name), parse_alias(body.alias)
    await run_in_threadpool(services.registry.delete_alias, name, alias)
    await services.deployments.model_changed(name)


def _get_alias(services: Services, body: requests.Alias) -> Response:
    name = parse_model_name(body.name)
    services.registry.get_model(name)
    try:
        record = services.registry.resolve_alias(name, parse_alias(body.alias))
    except NotFound as error:
        # MLflow has this one code for an alias that is not there.
        return error_body(400, "INVALID_PARAMETER_VALUE", error.message)
    return json_response({"model_version": version_message(record)})


def _create_version(services: Services, body: requests.CreateVersion) -> dict[str, Any]:
    record = services.registry.create_version(
        parse_model_name(body.name),
        body.source,
        description=body.description,
        run_id=body.run_id,
        run_link=body.run_link,
        tags=_tags(body.tags),
    )
    return {"model_version": version_message(record)}


def _get_version(services: Services, body: requests.Version) -> dict[str, Any]:
    record = services.registry.get_version(parse_model_name(body.name), parse_version(body.version))
    return {"model_version": version_message(record)}


def _search_versions(services: Services, body: requests.SearchVersions) -> dict[str, Any]:
    page = services.registry.search_versions(
        body.filter, order_by=body.order_by, max_results=body.max_results, page_token=body.page_token
    )
    return _with_token("model_versions", [version_message(record) for record in page.records], page.next_page_token)


def _update_version(services: Services, body: requests.UpdateVersion) -> dict[str, Any]:
    record = services.registry.update_version(
        parse_model_name(body.name), parse_version(body.version), description=body.description
    )
    return {"model_version": version_message(record)}


def _delete_version(services: Services, body: requests.Version) -> None:
    name, version = parse_model_name(body.name), parse_version(body.version)
    _refuse_in_use(services, name, version)
    services.registry.delete_version(name, version)


def _download_uri(services: Services, body: requests.Version) -> dict[str, Any]:
    """Not where the files were uploaded, which may have changed since, but the frozen package."""
    record = services.registry.get_version(parse_model_name(body.name), parse_version(body.version))
    return {"artifact_uri": f"mlflow-artifacts:/packages/{record.digest}"}


def _set_version_tag(services: Services, body: requests.SetVersionTag) -> None:
    name, version = parse_model_name(body.name), parse_version(body.version)
    services.registry.set_version_tag(name, version, key=body.key, value=body.value)


def _delete_version_tag(services: Services, body: requests.DeleteVersionTag) -> None:
    services.registry.delete_version_tag(parse_model_name(body.name), parse_version(body.version), key=body.key)


def _tags(tags: list[requests.Tag]) -> dict[str, str]:
    return {tag.key: tag.value for tag in tags}


def _with_token(field: str, messages: list[dict[str, Any]], next_page_token: str | None) -> dict[str, Any]:
    return {field: messages} | ({} if next_page_token is None else {"next_page_token": next_page_token})


def _refuse_in_use(services: Services, name: ModelName, version: Version | None) -> None:
    """Raises InUse while an endpoint serves the model, or this version of it."""
    endpoints = services.deployments.endpoints_using(name, version)
    if endpoints:
        kind, shown = ("Registered model", name) if version is None else ("Model version", f"{name}/{version}")
        used_by = "endpoint " if len(endpoints) == 1 else "endpoints "
        raise InUse(kind, shown, used_by=used_by + ", ".join(f"'{endpoint}'" for endpoint in endpoints[:10]))


_LATEST_VERSIONS = rpc(requests.LatestVersions, _latest_versions)
ROUTES = on_each(
    ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow"),
    (
        Route("POST", "/registered-models/create", rpc(requests.CreateModel, _create_model), Access.EDIT),
        Route("GET", "/registered-models/get", rpc(requests.Model, _get_model), Access.VIEW),
        Route("GET", "/registered-models/search", rpc(requests.SearchModels, _search_models), Access.VIEW),
        Route("PATCH", "/registered-models/update", rpc(requests.UpdateModel, _update_model), Access.EDIT),
        Route("POST", "/registered-models/rename", rpc(requests.RenameModel, _rename_model), Access.MANAGE),
        Route("DELETE", "/registered-models/delete", rpc(requests.Model, _delete_model), Access.MANAGE),
        Route("GET", "/registered-models/get-latest-versions", _LATEST_VERSIONS, Access.VIEW),
        Route(
            "POST",
            "/registered-models/get-latest-versions",
            _LATEST_VERSIONS,
            Access.VIEW,
        ),
        Route("POST", "/registered-models/set-tag", rpc(requests.SetModelTag, _set_model_tag), Access.EDIT),
        Route("DELETE", "/registered-models/delete-tag", rpc(requests.DeleteModelTag, _delete_model_tag), Access.EDIT),
        Route("POST", "/registered-models/alias", rpc(requests.SetAlias, _set_alias), Access.DEPLOY),
        Route("DELETE", "/registered-models/alias", rpc(requests.Alias, _delete_alias), Access.DEPLOY),
        Route("GET", "/registered-models/alias", rpc(requests.Alias, _get_alias), Access.VIEW),
        Route("POST", "/model-versions/create", rpc(requests.CreateVersion, _create_version), Access.EDIT),
        Route("GET", "/model-versions/get", rpc(requests.Version, _get_version), Access.VIEW),
        Route("GET", "/model-versions/search", rpc(requests.SearchVersions, _search_versions), Access.VIEW),
        Route("PATCH", "/model-versions/update", rpc(requests.UpdateVersion, _update_version), Access.EDIT),
        Route("DELETE", "/model-versions/delete", rpc(requests.Version, _delete_version), Access.MANAGE),
        Route("GET", "/model-versions/get-download-uri", rpc(requests.Version, _download_uri), Access.VIEW),
        Route("POST", "/model-versions/set-tag", rpc(requests.SetVersionTag, _set_version_tag), Access.EDIT),
        Route("DELETE", "/model-versions/delete-tag", rpc(requests.DeleteVersionTag, _delete_version_tag), Access.EDIT),
    ),
)
