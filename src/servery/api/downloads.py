"""Files on their way out: never shown by a browser, never run by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from servery.registry.artifact_files import OpenArtifact

DOWNLOAD_HEADERS = {
    "Content-Disposition": "attachment",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}
_CHUNK_BYTES = 1 << 20


def download(artifact: OpenArtifact, *, name: str) -> Response:
    """The file as an attachment called ``name``; it is read as the receiver takes it, and closed at the end."""
    headers = {
        **DOWNLOAD_HEADERS,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Length": str(artifact.size_bytes),
    }
    return StreamingResponse(_chunks(artifact), headers=headers, media_type="application/octet-stream")


async def _chunks(artifact: OpenArtifact) -> AsyncIterator[bytes]:
    with artifact.file as file:
        while chunk := await run_in_threadpool(file.read, _CHUNK_BYTES):
            yield chunk
