"""The artifact store in a folder of this machine.

    blobs/staging/<uuid>              a file on its way in
    blobs/sha256/ab/abcd…             a complete one, never written again

A file is written and synced in staging, renamed to its digest, and the folder synced: after a crash at any
point there is a whole blob or none. The registry names a blob in its database only after that.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from servery.errors import NotFound, Unavailable
from servery.names import Digest, parse_digest
from servery.registry.artifacts.store import Blob

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the disk does not take a file of this size",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk does not take the data",
}


class LocalArtifactStore:
    """Blobs below ``home/blobs``: files with mode 0600 in folders with mode 0700, whatever the umask."""

    def __init__(self, home: Path) -> None:
        self._blobs = home / "blobs" / "sha256"
        self._staging = home / "blobs" / "staging"

    def begin(self) -> LocalUpload:
        with _said_plainly():
            _make_folder(self._staging)
            return LocalUpload(self._staging / uuid.uuid4().hex, self._blobs)

    def open(self, sha256: Digest) -> BinaryIO:
        path = blob_path(self._blobs, parse_digest(sha256, field="sha256"))
        try:
            return path.open("rb")
        except FileNotFoundError:
            raise NotFound("Blob", sha256) from None

    def remove_leftovers(self, *, older_than_ms: int) -> int:
        removed = 0
        for path in list(self._staging.glob("*")):
            # Another process may end its upload between our look and our removal.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime_ns // 1_000_000 < older_than_ms:
                    path.unlink()
                    removed += 1
        return removed


class LocalUpload:
    """One staging file."""

    def __init__(self, staging: Path, blobs: Path) -> None:
        self._path = staging
        self._blobs = blobs
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        # Neither a link nor a file that another put there: the name is new.
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(staging, flags, 0o600)

    def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        with _said_plainly():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        self._sha256.update(chunk)
        self._size_bytes += len(chunk)

    def commit(self) -> Blob:
        sha256 = Digest(self._sha256.hexdigest())
        target = blob_path(self._blobs, sha256)
        with _said_plainly():
            os.fsync(self._descriptor)
            if os.fstat(self._descriptor).st_size != self._size_bytes:
                raise OSError(errno.EIO, "the file has not the size that was written")
            _make_folder(target.parent)
            # Over a blob of the same digest too: the bytes are the same, and a damaged one is healed.
            os.rename(self._path, target)
            _sync_folder(target.parent)
        self._close()
        return Blob(sha256, self._size_bytes)

    def abort(self) -> None:
        self._close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def blob_path(blobs: Path, sha256: Digest) -> Path:
    return blobs / sha256[:2] / sha256


def _make_folder(path: Path) -> None:
    """Make ``path`` and what is missing above it, each with mode 0700 and synced into the folder that holds it."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    """Turn the operating system's refusals into ``Unavailable``, without a path of this machine in it."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "its folder cannot be written")
        raise Unavailable(f"The artifact store takes no data now: {reason}.", retry_after_seconds=10) from error
