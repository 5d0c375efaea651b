"""What another server has published, taken in with its numbers and times.

POST /api/2.0/servery/registered-models/import     a model, if there is none of that name
POST /api/2.0/servery/model-versions/import        a version of it, from files that were uploaded before
"""

from __future__ import annotations

from typing import Any

import msgspec

from servery.api.mlflow_messages import model_message, version_message
from servery.api.mlflow_requests import Tag
from servery.api.routes import Access, Route
from servery.api.rpc import rpc
from servery.api.services import Services
from servery.names import parse_model_name, parse_version


class _ImportModel(msgspec.Struct):
    name: str
    created_at_ms: int
    description: str = ""
    tags: list[Tag] = []


class _ImportVersion(msgspec.Struct):
    name: str
    version: str | int
    source: str
    created_at_ms: int
    description: str = ""
    run_id: str = ""
    run_link: str = ""
    tags: list[Tag] = []
    lineage: dict[str, Any] | None = None


def _import_model(services: Services, body: _ImportModel) -> dict[str, Any]:
    record = services.registry.create_model(
        parse_model_name(body.name),
        description=body.description,
        tags={tag.key: tag.value for tag in body.tags},
        created_at_ms=body.created_at_ms,
    )
    return {"registered_model": model_message(record)}


def _import_version(services: Services, body: _ImportVersion) -> dict[str, Any]:
    record = services.registry.import_version(
        parse_model_name(body.name),
        body.source,
        number=parse_version(body.version),
        created_at_ms=body.created_at_ms,
        description=body.description,
        run_id=body.run_id,
        run_link=body.run_link,
        tags={tag.key: tag.value for tag in body.tags},
        lineage=body.lineage,
    )
    return {"model_version": version_message(record), "digest": record.digest}


ROUTES = (
    Route("POST", "/api/2.0/servery/registered-models/import", rpc(_ImportModel, _import_model), Access.EDIT),
    Route("POST", "/api/2.0/servery/model-versions/import", rpc(_ImportVersion, _import_version), Access.EDIT),
)
