"""A package's files before anything of them is run: all that were registered, as they were registered, and no other."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from servery_worker.flavors import LoadError

_CHUNK_BYTES = 1 << 20
_BYTECODE_FOLDER = "__pycache__"
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""No link is followed, and no pipe is waited on."""


def verify(directory: str, files: Mapping[str, str]) -> None:
    """Hold every file of the package against its SHA-256.

    Raises:
        LoadError: a file is missing, is not what was registered, was added, or is a link; it is named.
    """
    found = set(_files_below(directory))
    for path in sorted(found.difference(files)):
        raise LoadError(f"the package has the file {path!r}, which was not registered")
    for path, expected in files.items():
        if path not in found:
            raise LoadError(f"the package lacks the file {path!r}, which was registered")
        if _sha256(directory, path) != expected:
            raise LoadError(f"the package's file {path!r} is not what was registered: its SHA-256 differs")


def _files_below(directory: str) -> Iterator[str]:
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            with os.scandir(os.path.join(directory, prefix)) as opened:
                entries = list(opened)
        except OSError as error:
            raise LoadError(f"the package's folder {prefix!r} cannot be read: {error.strerror}") from None
        for entry in entries:
            path = prefix + entry.name
            if entry.is_file(follow_symlinks=False):
                yield path
            elif not entry.is_dir(follow_symlinks=False):
                raise LoadError(f"the package's entry {path!r} is a link or no regular file")
            elif entry.name != _BYTECODE_FOLDER:
                folders.append(path + "/")


def _sha256(directory: str, path: str) -> str:
    digest = hashlib.sha256()
    try:
        descriptor = os.open(os.path.join(directory, path), _OPEN_FLAGS)
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise LoadError(f"the package's entry {path!r} is no regular file")
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise LoadError(f"the package's file {path!r} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def import_sources_only(directory: str) -> None:
    """From now on, code below ``directory`` is compiled from its source at every import.

    An interpreter that imported it leaves bytecode there, which no manifest covers, and would run it in place of the
    source that was verified.
    """
    importer: Any = sys.modules["_frozen_importlib_external"]
    cache_from_source = importer.cache_from_source
    prefix = os.path.join(directory, "")

    def outside_only(path: Any, *rest: Any, **options: Any) -> Any:
        if os.fspath(path).startswith(prefix):
            raise NotImplementedError  # Import's own word for: there is no place for bytecode.
        return cache_from_source(path, *rest, **options)

    importer.cache_from_source = outside_only
