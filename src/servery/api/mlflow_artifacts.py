"""MLflow's artifact proxy: files in and out of the server by path.

    PUT, GET, DELETE …/mlflow-artifacts/artifacts/<path>        GET …/mlflow-artifacts/artifacts?path=<folder>

Multipart uploads and presigned addresses are for object stores; 501 makes MLflow's client go the plain way.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from servery.api.downloads import download
from servery.api.errors import error_body
from servery.api.routes import Access, Route, on_each
from servery.api.rpc import json_response, rpc
from servery.api.services import Services
from servery.errors import BodyTooLarge, InvalidInput
from servery.registry.artifact_files import ArtifactUpload

_WRITE_BYTES = 1 << 20
"""As much is gathered before a thread writes it: a hand-over costs more than 64 KiB of writing."""


class _Path(msgspec.Struct):
    path: str


class _List(msgspec.Struct):
    path: str = ""


async def _put(services: Services, request: Request) -> Response:
    body_bytes_max = services.config.artifact_bytes_max
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > body_bytes_max:
        raise BodyTooLarge(body_bytes_max)
    upload = await run_in_threadpool(services.registry.begin_artifact, request.path_params["path"])
    try:
        await _receive(request, upload, body_bytes_max)
        await run_in_threadpool(upload.commit)
    except ClientDisconnect:
        await run_in_threadpool(upload.abort)
        raise InvalidInput("body", expected="as many bytes as Content-Length says", got="fewer") from None
    except BaseException:
        upload.abort()
        raise
    return json_response({})


async def _receive(request: Request, upload: ArtifactUpload, body_bytes_max: int) -> None:
    size_bytes, waiting = 0, bytearray()
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes > body_bytes_max:
            raise BodyTooLarge(body_bytes_max)
        waiting += chunk
        if len(waiting) >= _WRITE_BYTES:
            await run_in_threadpool(upload.write, bytes(waiting))
            waiting.clear()
    await run_in_threadpool(upload.write, bytes(waiting))


def _get(services: Services, body: _Path) -> Response:
    return download(services.registry.open_artifact(body.path), name=body.path.rpartition("/")[2])


def _delete(services: Services, body: _Path) -> None:
    services.registry.delete_artifacts(body.path)


def _list(services: Services, body: _List) -> dict[str, Any]:
    """``path`` in the answer is the entry's own name, as MLflow's client expects it."""
    return {
        "files": [
            {"path": entry.name, "is_dir": entry.is_folder}
            | ({} if entry.size_bytes is None else {"file_size": entry.size_bytes})
            for entry in services.registry.list_artifacts(body.path)
        ]
    }


async def _not_offered(_services: Services, _request: Request) -> Response:
    return error_body(501, "NOT_IMPLEMENTED", "This server's artifact store takes and gives files in one piece.")


ROUTES = on_each(
    ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"),
    (
        Route("GET", "/artifacts", rpc(_List, _list), Access.VIEW),
        Route("PUT", "/artifacts/{path:path}", _put, Access.EDIT),
        Route("GET", "/artifacts/{path:path}", rpc(_Path, _get), Access.VIEW),
        Route("DELETE", "/artifacts/{path:path}", rpc(_Path, _delete), Access.MANAGE),
        Route("POST", "/mpu/create/{path:path}", _not_offered, Access.EDIT),
        Route("POST", "/mpu/complete/{path:path}", _not_offered, Access.EDIT),
        Route("POST", "/mpu/abort/{path:path}", _not_offered, Access.EDIT),
        Route("GET", "/presigned/{path:path}", _not_offered, Access.VIEW),
    ),
)
