"""The port behind which files live: content-addressed, so that a file never changes and is kept once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from servery.names import Digest


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file: the SHA-256 of its bytes, and how many they are."""

    sha256: Digest
    size_bytes: int


class Upload(Protocol):
    """A file on its way in. Owned by one caller, who ends it by ``commit`` or ``abort``; not for two threads at once.

    Nothing of it can be seen before ``commit`` returns. Memory does not grow with the file.
    """

    def write(self, chunk: bytes) -> None:
        """Append. Raises Unavailable when the store takes no data; the caller aborts then."""

    def commit(self) -> Blob:
        """Make the file durable under its digest; the same bytes twice are one blob.

        Raises Unavailable when the store cannot; nothing torn is left under any digest.
        """

    def abort(self) -> None:
        """Drop what came. Never raises, and does nothing after ``commit``."""


class ArtifactStore(Protocol):
    """Keeps blobs. May be used from any thread and by several processes at once."""

    def begin(self) -> Upload:
        """Start a file. Raises Unavailable when the store takes no data."""

    def open(self, sha256: Digest) -> BinaryIO:
        """The blob's bytes from its beginning; the caller closes it. Raises NotFound."""

    def remove_leftovers(self, *, older_than_ms: int) -> int:
        """Remove uploads that nobody ended and nobody wrote to since ``older_than_ms`` (Unix time); how many."""
