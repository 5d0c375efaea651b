"""A folder of files somewhere else: listed, checked, fetched. One port, and an adapter for each place.

What another server lists is not trusted: a name leads nowhere but into the folder that is filled.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from servery.client.mlflow_server import ARTIFACTS, MlflowServer
from servery.client.mlflow_transport import Advance
from servery.errors import HomeUnusable, PackageInvalid, RemoteError
from servery.package.manifest import check_relative_path, files_below
from servery.package.mlmodel import MLMODEL_FILE

FILES_MAX = 20_000
"""As many as the registry takes."""
_FOLDERS_MAX = 20_000
_FETCHES_AT_ONCE = 4


@dataclass(frozen=True, slots=True, order=True)
class RemoteFile:
    """A file of such a folder, ``path`` relative to it and checked; ``etag`` changes whenever its bytes do."""

    path: str
    size_bytes: int | None = None
    etag: str | None = None


class ArtifactFolder(Protocol):
    """A folder of files somewhere else. May be used from several threads; whoever opened the place closes it.

    Both methods raise RemoteError where the place refuses or does not answer in a bounded time.
    """

    @property
    def where(self) -> str:
        """What people call it, and what tells it from all others. Holds no secret."""

    def files(self) -> tuple[RemoteFile, ...]:
        """Every file below it, by path. Raises PackageInvalid for a path that no package can have."""

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> int:
        """Write the file to ``target``; its bytes. Memory does not grow with it."""


class ProxiedFolder:
    """Files that an MLflow server keeps and gives out itself (``mlflow-artifacts:/…``)."""

    def __init__(self, server: MlflowServer, path: str) -> None:
        self._server = server
        self._path = path

    @property
    def where(self) -> str:
        return f"mlflow-artifacts:/{self._path} of {self._server.tracking.server}"

    def files(self) -> tuple[RemoteFile, ...]:
        found: list[RemoteFile] = []
        folders, seen = [""], 0
        while folders:
            prefix = folders.pop()
            seen += 1
            for entry in self._server.list_artifacts(f"{self._path}/{prefix}".rstrip("/")):
                if "/" in entry.name:
                    raise PackageInvalid(f"{self.where} lists {entry.name!r}, which is no name of a file.")
                path = check_relative_path(prefix + entry.name)
                if entry.is_folder:
                    folders.append(f"{path}/")
                else:
                    found.append(RemoteFile(path, entry.size_bytes))
            if seen + len(folders) > _FOLDERS_MAX or len(found) > FILES_MAX:
                raise PackageInvalid(f"{self.where} has more than {FILES_MAX} files or folders.")
        return checked_files(found, self.where)

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> int:
        address = f"{ARTIFACTS}/{quote(f'{self._path}/{file.path}')}"
        return self._server.tracking.download(address, target, advance)


class LocalFolder:
    """A folder of this very machine that an MLflow server names: both see the same disk."""

    def __init__(self, folder: Path, server: str) -> None:
        """Raises RemoteError when there is no model in such a folder here."""
        if not (folder / MLMODEL_FILE).is_file():
            raise RemoteError(
                f"The MLflow server {server} keeps these artifacts in a folder of its own machine and does not hand "
                "them out; start it with --artifacts-destination, or run this where the folder is."
            )
        self._folder = folder

    @property
    def where(self) -> str:
        return f"the folder '{self._folder}'"

    def files(self) -> tuple[RemoteFile, ...]:
        paths = (path for path in files_below(self._folder))
        found = [(path, (self._folder / path).stat()) for path in paths]
        return checked_files([RemoteFile(path, is_.st_size, str(is_.st_mtime_ns)) for path, is_ in found], self.where)

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> int:
        shutil.copyfile(self._folder / file.path, target, follow_symlinks=False)
        size_bytes = target.stat().st_size
        advance(size_bytes)
        return size_bytes


def checked_files(files: Iterable[RemoteFile], where: str) -> tuple[RemoteFile, ...]:
    """Sorted; raises PackageInvalid for a path that no package can have, and where there is no model at all."""
    found = sorted(files)
    paths = [check_relative_path(file.path) for file in found]
    parents = {path[:index] for path in paths for index, character in enumerate(path) if character == "/"}
    if len(set(paths)) != len(paths) or parents & set(paths):
        raise PackageInvalid(f"{where} has one path twice, or as a file and as a folder.")
    if len(found) > FILES_MAX:
        raise PackageInvalid(f"{where} has more than {FILES_MAX} files.")
    if MLMODEL_FILE not in paths:
        raise PackageInvalid(f"There is no model at {where}: it has no {MLMODEL_FILE} file.")
    return tuple(found)


def fill_folder(source: ArtifactFolder, files: tuple[RemoteFile, ...], target: Path, advance: Advance) -> None:
    """Fetch the files into the new folder ``target``, some at a time, each held against its listed size.

    Raises:
        RemoteError: the source refuses, does not answer, or sends a file of another size.
        HomeUnusable: the files cannot be written here.
    """

    def fetch(file: RemoteFile) -> None:
        size_bytes = source.fetch(file, target / file.path, advance)
        if file.size_bytes is not None and size_bytes != file.size_bytes:
            message = f"'{file.path}' of {source.where} came with {size_bytes} bytes instead of {file.size_bytes}."
            raise RemoteError(message)

    try:
        for folder in {(target / file.path).parent for file in files}:
            folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_FETCHES_AT_ONCE, thread_name_prefix="fetch") as pool:
            futures = [pool.submit(fetch, file) for file in files]
            try:
                for future in futures:
                    future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise HomeUnusable(f"The files of {source.where} cannot be kept in the home folder: {reason}.") from None
