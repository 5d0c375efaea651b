"""Where a gateway's packages come from: the control plane that it follows."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import threading
import uuid
from collections import defaultdict
from pathlib import Path

import httpx

from servery.errors import PackageInvalid, RemoteError
from servery.names import Digest
from servery.package.manifest import FileEntry, Manifest, decode_manifest, manifest_of_folder
from servery.routing import PoolSpec, RoutingTable

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30.0

log = logging.getLogger(__name__)


class FetchedPackages:
    """Packages downloaded by digest from the control plane, kept in a folder of the gateway's home.

    A package is put in place by one rename once every byte of it has been held against its SHA-256. What is there
    already is held against them, too: when it is whole, nothing is fetched, so that a gateway starts without the
    control plane; when it was damaged, it is fetched anew.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server.rstrip("/")
        self._removals: list[asyncio.Future[None]] = []
        self._locks: defaultdict[Digest, threading.Lock] = defaultdict(threading.Lock)
        """One fetch of a package at a time: equal versions share its folder."""

    async def fetch(self, spec: PoolSpec) -> tuple[Path, Manifest]:
        given_up = threading.Event()
        try:
            return await asyncio.to_thread(self._fetch, spec.digest, given_up)
        finally:
            # The thread outlives a task that is cancelled, and the process waits for the thread.
            given_up.set()

    def remove(self, spec: PoolSpec) -> None:
        trash = self._set_aside(spec.digest)
        if trash is None:
            return
        self._removals = [task for task in self._removals if not task.done()]
        self._removals.append(asyncio.ensure_future(asyncio.to_thread(shutil.rmtree, trash, ignore_errors=True)))

    def _set_aside(self, digest: Digest) -> Path | None:
        # The rename is at once: a fetch that begins after it downloads the package anew, and never sees half of it.
        trash = self._folder / f".trash-{uuid.uuid4().hex}"
        try:
            return (self._folder / digest).rename(trash)
        except FileNotFoundError:
            return None

    def keep_only(self, table: RoutingTable) -> None:
        """Called once, before anything is fetched: remove what an earlier process left and the table does not name."""
        kept = {spec.digest for spec in table.pools}
        for folder in self._folder.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, digest: Digest, given_up: threading.Event) -> tuple[Path, Manifest]:
        folder = self._folder / digest
        with self._locks[digest]:
            damage = ""
            if folder.exists():
                try:
                    return folder / "package", _read_kept(folder, digest)
                except PackageInvalid as found:
                    damage = f"The copy on this gateway is damaged: {found.message} "
                    log.warning("package %s is fetched anew: %s", digest[:16], found.message)
            try:
                return folder / "package", self._download(digest, folder, given_up)
            except RemoteError as error:
                raise RemoteError(f"{damage}{error.message}") from None

    def _download(self, digest: Digest, folder: Path, given_up: threading.Event) -> Manifest:
        staging = self._folder / f".staging-{uuid.uuid4().hex}"
        try:
            with httpx.Client(
                base_url=f"{self._server}/api/2.0/servery", timeout=_TIMEOUT_SECONDS, trust_env=False
            ) as client:
                body = _get(client, f"/packages/{digest}")
                manifest = decode_manifest(body)
                if manifest.digest != digest:
                    raise PackageInvalid(f"The control plane's manifest of {digest[:16]} has another digest.")
                for entry in manifest.files:
                    _download_file(client, entry, staging / "package" / entry.path, given_up)
            (staging / "manifest.json").write_bytes(body)
            trash = self._set_aside(digest)
            staging.rename(folder)
            if trash is not None:
                shutil.rmtree(trash, ignore_errors=True)
            return manifest
        except httpx.HTTPError as error:
            raise RemoteError(f"The package could not be fetched from {self._server}: {error}.") from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _read_kept(folder: Path, digest: Digest) -> Manifest:
    """The manifest of a package that was fetched earlier.

    Raises:
        PackageInvalid: not every file is there as it was registered, or there is another; one is named.
    """
    try:
        manifest = decode_manifest((folder / "manifest.json").read_bytes())
    except OSError:
        raise PackageInvalid("Its manifest cannot be read.") from None
    if manifest.digest != digest:
        raise PackageInvalid("Its manifest is not what was registered.")
    different = set(manifest.files) ^ set(manifest_of_folder(folder / "package").files)
    if different:
        raise PackageInvalid(f"Its file '{min(different).path}' is not what was registered.")
    return manifest


def _get(client: httpx.Client, path: str) -> bytes:
    response = client.get(path)
    response.raise_for_status()
    return response.content


def _download_file(client: httpx.Client, entry: FileEntry, path: Path, given_up: threading.Event) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with client.stream("GET", f"/blobs/{entry.sha256}") as response, path.open("xb") as file:
        response.raise_for_status()
        for chunk in response.iter_bytes(_CHUNK_BYTES):
            if given_up.is_set():
                raise RemoteError("The package is no longer wanted.")
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != entry.sha256:
        raise PackageInvalid(f"The file '{entry.path}' was not received as it was registered.")
