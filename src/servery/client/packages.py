"""Packages over HTTP: every file up to the server, or every file down, each checked by its SHA-256."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from servery.client.transport import Transport
from servery.errors import RemoteError
from servery.names import Digest
from servery.package.manifest import FileEntry, Manifest, decode_manifest

Progress = Callable[[int, int], None]
"""Told the bytes sent so far and the bytes in all."""

_CHUNK_BYTES = 1 << 20
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


def upload_package(
    transport: Transport,
    folder: Path,
    manifest: Manifest,
    progress: Progress | None = None,
    *,
    upload: str | None = None,
) -> str:
    """Send every file of the manifest; the source that a version can be created from.

    The files lie below ``uploads/<upload>`` there, by default a name of their own.
    """
    prefix = f"uploads/{upload or uuid.uuid4().hex}"
    sent_bytes = 0

    def chunks(file: FileEntry) -> Iterator[bytes]:
        nonlocal sent_bytes
        with (folder / file.path).open("rb") as opened:
            while chunk := opened.read(_CHUNK_BYTES):
                yield chunk
                sent_bytes += len(chunk)
                if progress is not None:
                    progress(sent_bytes, manifest.size_bytes)

    for file in manifest.files:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.size_bytes)}
        transport.send("PUT", f"{_ARTIFACTS}/{prefix}/{quote(file.path)}", content=chunks(file), headers=headers)
    return f"mlflow-artifacts:/{prefix}"


def read_manifest(transport: Transport, digest: Digest) -> Manifest:
    """The manifest of a registered package. Raises as :func:`download_package`."""
    manifest = decode_manifest(transport.send("GET", f"/api/2.0/servery/packages/{digest}").content)
    if manifest.digest != digest:
        raise RemoteError(f"{transport.server} sent another manifest than that of package {digest[:16]}.")
    return manifest


def download_package(transport: Transport, digest: Digest, folder: Path) -> Manifest:
    """Fetch the package into the empty folder ``folder``, which is created.

    Raises:
        RemoteError: the server does not have it, or what came is not what the digest promises.
    """
    manifest = read_manifest(transport, digest)
    for file in manifest.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _download_file(transport, file, target)
    return manifest


def _download_file(transport: Transport, file: FileEntry, target: Path) -> None:
    sha256 = hashlib.sha256()
    with transport.stream("GET", f"/api/2.0/servery/blobs/{file.sha256}") as response, target.open("xb") as opened:
        for chunk in response.iter_bytes(_CHUNK_BYTES):
            sha256.update(chunk)
            opened.write(chunk)
    if sha256.hexdigest() != file.sha256:
        raise RemoteError(f"{transport.server} sent '{file.path}' damaged: its SHA-256 does not match the manifest.")
