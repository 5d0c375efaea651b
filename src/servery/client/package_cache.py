"""Packages kept on this machine under their digests. Whoever finds one finds all of it.

<root>/<digest>            a whole package; held against its digest before each use
<root>/.sources/<key>      the digest of what a place elsewhere held when it was fetched
<root>/.fetch-…            on its way in; what a killed process left is removed by the next one that fetches
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from servery.client.artifact_folders import ArtifactFolder, RemoteFile, fill_folder
from servery.client.mlflow_transport import Advance
from servery.errors import HomeUnusable, PackageInvalid
from servery.names import Digest

_DIGEST = re.compile(r"[0-9a-f]{64}")


class PackageCache:
    """The packages below ``root``, which is made when first needed. For several threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sources = root / ".sources"

    def folder(self, digest: Digest) -> Path:
        return self._root / digest

    def is_whole(self, digest: Digest) -> bool:
        """Whether the package is here, with every byte that it was registered with."""
        from servery.package.manifest import manifest_of_folder

        folder = self.folder(digest)
        try:
            return folder.is_dir() and manifest_of_folder(folder).digest == digest
        except PackageInvalid:
            return False

    def add(self, fetch: Callable[[Path], None], digest: Digest | None = None) -> Digest:
        """Keep what ``fetch`` writes into the folder that it is given.

        Without ``digest``, what came is read as a package, and its digest computed. Raises what ``fetch`` raises, and

            PackageInvalid: what came is no package.
            HomeUnusable: nothing can be written here.
        """
        with self._partial() as partial:
            fetch(partial)
            digest = _digest_of(partial) if digest is None else digest
            folder = self.folder(digest)
            with suppress(FileNotFoundError):
                folder.rename(partial.parent / "damaged")
            try:
                partial.rename(folder)
            except OSError:
                if not folder.is_dir():  # Another process that fetched the same package may have been first.
                    raise
        return digest

    def add_from(
        self, source: ArtifactFolder, files: tuple[RemoteFile, ...], *, pinned: bool, advance: Advance
    ) -> Digest:
        """Keep the package at ``source``, whose listed ``files`` are given; it is fetched unless it is here already.

        It is taken for the same when the listing is, and the source is ``pinned`` (never written again) or has an
        etag for every file. Raises as :meth:`add`, and RemoteError where the source does not give it.
        """
        remembered = self._sources / _key(source, files) if pinned or all(file.etag for file in files) else None
        digest = None if remembered is None else self._recall(remembered)
        if digest is not None and self.is_whole(digest):
            advance(sum(file.size_bytes or 0 for file in files))
            return digest
        digest = self.add(lambda folder: fill_folder(source, files, folder, advance))
        if remembered is not None:
            with self._partial() as partial:
                partial.write_text(digest)
                remembered.parent.mkdir(exist_ok=True)
                partial.rename(remembered)
        return digest

    def remove(self, digest: Digest) -> None:
        shutil.rmtree(self.folder(digest), ignore_errors=True)

    def remove_all(self) -> None:
        """Only for who has it :meth:`alone`."""
        for entry in self._root.glob("*"):
            shutil.rmtree(entry, ignore_errors=True)

    @contextmanager
    def alone(self, refusal: str) -> Iterator[None]:
        """Have the cache for this process while the block runs; raises HomeUnusable, with ``refusal``, if another has.

        A lock ends with its process, however that ends.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with _locked(self._root / ".alone", os.O_CREAT, fcntl.LOCK_NB):
                yield
        except BlockingIOError:
            raise HomeUnusable(refusal) from None

    def _recall(self, remembered: Path) -> Digest | None:
        with suppress(OSError, UnicodeDecodeError):
            text = remembered.read_text()
            return Digest(text) if _DIGEST.fullmatch(text) else None
        return None

    @contextmanager
    def _partial(self) -> Iterator[Path]:
        """A path on its way in, below a folder that goes when the block ends."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with _locked(self._root / ".lock", os.O_CREAT, 0):
                self._sweep()
                scratch = Path(tempfile.mkdtemp(prefix=".fetch-", dir=self._root))
                alive = os.open(scratch / "alive", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HomeUnusable(f"The home folder cannot be written: {error.strerror}.") from None
        try:
            yield scratch / "package"
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(alive)

    def _sweep(self) -> None:
        """Remove what nobody works on any more: a lock ends with its process, however that ends."""
        for scratch in self._root.glob(".fetch-*"):
            with suppress(OSError), _locked(scratch / "alive", 0, fcntl.LOCK_NB):
                shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _locked(path: Path, create: int, wait: int) -> Iterator[None]:
    """``create`` is O_CREAT or 0, ``wait`` LOCK_NB or 0. Raises BlockingIOError when another has it."""
    descriptor = os.open(path, create | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | wait)
        yield
    finally:
        os.close(descriptor)


def _digest_of(folder: Path) -> Digest:
    from servery.package.mlmodel import read_mlmodel
    from servery.package.seal import checked_manifest

    read_mlmodel(folder)  # First, so that no other folder is read from end to end.
    return checked_manifest(folder).digest


def _key(source: ArtifactFolder, files: tuple[RemoteFile, ...]) -> str:
    listing = [source.where, [[file.path, file.size_bytes, file.etag] for file in files]]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
