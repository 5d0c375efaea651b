"""What a gateway and a client need to fetch a version: who it is, its manifest, its files; and what they found of it.

GET /api/2.0/servery/model-versions?name=spam&version=3     or &alias=champion
GET /api/2.0/servery/packages/{digest}                      the manifest, in its canonical bytes
GET /api/2.0/servery/blobs/{sha256}                         a file
PUT /api/2.0/servery/packages/{digest}/build-logs/{gateway} in which environment a gateway runs it, as text
GET /api/2.0/servery/packages/{digest}/build-logs
PUT /api/2.0/servery/packages/{digest}/check                what 'servery check' reports of it, as JSON
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from servery.api.downloads import DOWNLOAD_HEADERS, download
from servery.api.gateways import parse_gateway_name
from servery.api.routes import Access, Route
from servery.api.rpc import json_response, read_body, rpc
from servery.api.services import Services
from servery.errors import InvalidInput
from servery.names import parse_alias, parse_digest, parse_model_name, parse_version


class _GetVersion(msgspec.Struct):
    name: str
    version: str | None = None
    alias: str | None = None


class _GetPackage(msgspec.Struct):
    digest: str


class _GetBlob(msgspec.Struct):
    sha256: str


def _get_version(services: Services, body: _GetVersion) -> dict[str, Any]:
    if (body.version is None) == (body.alias is None):
        raise InvalidInput("version", expected="either a version or an alias", got=body.version)
    which = parse_alias(body.alias) if body.version is None else parse_version(body.version)
    record = services.registry.resolve(parse_model_name(body.name), which)
    manifest = services.registry.manifest(record.digest)
    previous = services.registry.previous_version(record.name, record.version)
    problems = () if previous is None else services.registry.incompatibilities(previous.digest, record.digest)
    return {
        "name": record.name,
        "version": str(record.version),
        "digest": record.digest,
        "status": record.status,
        "source": record.source,
        "run_id": record.run_id,
        "run_link": record.run_link,
        "lineage": services.registry.lineage(record.name, record.version),
        "description": record.description,
        "tags": dict(record.tags),
        "aliases": record.aliases,
        "created_at_ms": record.created_at_ms,
        "updated_at_ms": record.updated_at_ms,
        "signature": services.registry.mlmodel(manifest).fields.get("signature"),
        "previous_version": None if previous is None else str(previous.version),
        "incompatibilities": problems,
        "check": services.registry.report(record.digest),
        "files": [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in manifest.files],
    }


def _get_package(services: Services, body: _GetPackage) -> Response:
    manifest = services.registry.manifest(parse_digest(body.digest)).encode()
    return Response(manifest, media_type="application/json", headers=DOWNLOAD_HEADERS)


def _get_blob(services: Services, body: _GetBlob) -> Response:
    sha256 = parse_digest(body.sha256, field="sha256")
    return download(services.registry.open_blob(sha256), name=sha256)


def _get_build_logs(services: Services, body: _GetPackage) -> dict[str, Any]:
    return {"build_logs": list(services.registry.build_logs(parse_digest(body.digest)))}


async def _put_build_log(services: Services, request: Request) -> Response:
    digest, gateway = parse_digest(request.path_params["digest"]), parse_gateway_name(request.path_params["gateway"])
    text = (await read_body(request)).decode(errors="replace")
    await run_in_threadpool(services.registry.put_build_log, digest, gateway, text)
    return json_response(None)


async def _put_check(services: Services, request: Request) -> Response:
    digest = parse_digest(request.path_params["digest"])
    try:
        report = msgspec.json.decode(await read_body(request), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidInput("body", expected="a report, as JSON", got=str(error)) from None
    await run_in_threadpool(services.registry.put_report, digest, report)
    return json_response(None)


ROUTES = (
    Route("GET", "/api/2.0/servery/model-versions", rpc(_GetVersion, _get_version), Access.VIEW),
    Route("GET", "/api/2.0/servery/packages/{digest}", rpc(_GetPackage, _get_package), Access.VIEW),
    Route("GET", "/api/2.0/servery/blobs/{sha256}", rpc(_GetBlob, _get_blob), Access.VIEW),
    Route("GET", "/api/2.0/servery/packages/{digest}/build-logs", rpc(_GetPackage, _get_build_logs), Access.VIEW),
    Route("PUT", "/api/2.0/servery/packages/{digest}/build-logs/{gateway}", _put_build_log, Access.GATEWAY),
    Route("PUT", "/api/2.0/servery/packages/{digest}/check", _put_check, Access.EDIT),
)
