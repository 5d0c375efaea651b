"""The manifest of a package: the SHA-256 and size of each of its files. Its own SHA-256 is a version's digest.

Nothing here imports or unpickles what a package holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from servery.errors import InvalidInput, PackageInvalid
from servery.names import Digest, parse_digest

PATH_BYTES_MAX = 1024
MANIFEST_BYTES_MAX = 32 << 20
"""About 200,000 files of a usual path length."""
BYTECODE_FOLDER = "__pycache__"
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """One file of a package; ``path`` is relative to the package's folder, with ``/`` between its parts."""

    path: str
    sha256: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a package, sorted by path, so that equal packages have equal manifests."""

    files: tuple[FileEntry, ...]

    def encode(self) -> bytes:
        """The canonical form: compact JSON, keys in a fixed order, files sorted by path."""
        entries = [{"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes} for file in self.files]
        return json.dumps({"files": entries}, ensure_ascii=False, separators=(",", ":")).encode()

    @property
    def digest(self) -> Digest:
        return Digest(hashlib.sha256(self.encode()).hexdigest())

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def check_relative_path(path: str) -> str:
    """Give back ``path`` when it names something inside a package's folder and in one way only.

    Raises:
        PackageInvalid: absolute, with ``.``, ``..`` or an empty part, a backslash, a NUL, no UTF-8, or too long.
    """
    shown = repr(path)[:200]
    try:
        size_bytes = len(path.encode())
    except UnicodeEncodeError:
        raise PackageInvalid(f"The path {shown} in the package is not UTF-8.") from None
    if size_bytes > PATH_BYTES_MAX:
        raise PackageInvalid(f"A path in the package has {size_bytes} bytes; at most {PATH_BYTES_MAX} are allowed.")
    if "\\" in path or "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise PackageInvalid(f"The path {shown} does not name a file inside the package's folder.")
    return path


def make_manifest(files: list[FileEntry]) -> Manifest:
    """Sort and check the entries.

    Raises:
        PackageInvalid: a path that is none, the same path twice, or one that is both a file and a folder.
    """
    ordered = tuple(sorted(files))
    paths = {check_relative_path(file.path) for file in ordered}
    if len(paths) != len(ordered):
        raise PackageInvalid("The package's manifest names a path twice.")
    folders = {parent for path in paths for parent in _parents(path)}
    for path in sorted(folders & paths):
        raise PackageInvalid(f"The package's manifest has {path!r} both as a file and as a folder.")
    return Manifest(ordered)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def decode_manifest(body: bytes) -> Manifest:
    """Read what :meth:`Manifest.encode` wrote; no other spelling of the same manifest is taken.

    Raises:
        PackageInvalid: it is something else.
    """
    if len(body) > MANIFEST_BYTES_MAX:
        raise PackageInvalid(f"The package's manifest is larger than {MANIFEST_BYTES_MAX} bytes.")
    try:
        manifest = make_manifest([decode_entry(entry) for entry in json.loads(body)["files"]])
        canonical = manifest.encode() == body
    except (ValueError, TypeError, KeyError, RecursionError, InvalidInput):
        canonical = False
    if not canonical:
        raise PackageInvalid("The package's manifest is not in its canonical JSON form.")
    return manifest


def decode_entry(entry: dict[str, object]) -> FileEntry:
    """One file of a decoded manifest; raises TypeError, KeyError or InvalidInput where it is none."""
    path, size_bytes = entry["path"], entry["size_bytes"]
    if not isinstance(path, str) or type(size_bytes) is not int or size_bytes < 0:
        raise TypeError
    return FileEntry(path, parse_digest(entry["sha256"]), size_bytes)


def manifest_of_folder(folder: Path) -> Manifest:
    """Read every file below ``folder``, but for the bytecode that an interpreter leaves there when it loads the model.

    Raises:
        PackageInvalid: the folder is missing or empty, or holds a link, a socket, a device or a pipe.
    """
    if not folder.is_dir():
        raise PackageInvalid(f"The package's folder '{folder.name}' does not exist.")
    files = [FileEntry(path, *_hash(folder, path)) for path in files_below(folder)]
    if not files:
        raise PackageInvalid(f"The package's folder '{folder.name}' is empty.")
    return make_manifest(files)


def files_below(folder: Path) -> Iterator[str]:
    """The paths of a package's files, in no order. Nothing is opened.

    Raises:
        PackageInvalid: there is something that is neither a file nor a folder, or a path that a package cannot have.
    """
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            entries = list(os.scandir(folder / prefix))
        except OSError as error:
            raise PackageInvalid(f"The package's folder '{prefix}' cannot be read: {error.strerror}.") from None
        for entry in entries:
            path = check_relative_path(f"{prefix}{entry.name}")
            if entry.is_file(follow_symlinks=False):
                yield path
            elif not entry.is_dir(follow_symlinks=False):
                what = "a link" if entry.is_symlink() else "not a regular file"
                raise PackageInvalid(f"The package's entry '{path}' is {what}; a package holds files and folders only.")
            elif entry.name != BYTECODE_FOLDER:
                folders.append(f"{path}/")


def _hash(folder: Path, path: str) -> tuple[Digest, int]:
    # Opened without following a link and without waiting on a pipe, and looked at after opening: nobody can put
    # another file in its place between the look and the reading.
    try:
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise PackageInvalid(f"The package's entry '{path}' is a link or cannot be read.") from None
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PackageInvalid(f"The package's entry '{path}' is not a regular file.")
        sha256, size_bytes = hashlib.sha256(), 0
        while chunk := file.read(_READ_BYTES):
            sha256.update(chunk)
            size_bytes += len(chunk)
    return Digest(sha256.hexdigest()), size_bytes
