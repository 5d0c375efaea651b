"""Bytes that wait on disk for a caller that does not take them yet."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import IO


class Spool:
    """A queue of bytes in a file without a name, which ends with the process however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._taken = 0
        self._added = 0

    def __len__(self) -> int:
        return self._added - self._taken

    def add(self, data: bytes) -> None:
        """Raises OSError where the disk is full."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - it lives as long as this
        self._file.seek(self._added)
        self._file.write(data)
        self._added += len(data)

    def take(self, count: int) -> bytes:
        """The next bytes, at most ``count``; once all are taken, the file is empty again."""
        if self._file is None:
            return b""
        self._file.seek(self._taken)
        data = self._file.read(min(count, len(self)))
        self._taken += len(data)
        if self._taken == self._added:
            self._file.truncate(0)
            self._taken = self._added = 0
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._taken = self._added = 0
