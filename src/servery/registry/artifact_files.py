"""The tree of uploaded files, and the read-only view of published packages below ``packages/<digest>``.

A path here is a row in the database, never a path of this machine: no spelling of it reaches another file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from servery.db.engine import reading, writing
from servery.db.registry_tables import ArtifactRow, BlobRow, PackageFileRow, PackageRow
from servery.errors import InvalidInput, NotFound, PackageInvalid, Unavailable
from servery.names import Digest, parse_digest
from servery.package.manifest import FileEntry, Manifest, check_relative_path, make_manifest
from servery.registry.artifacts.store import Blob, Upload
from servery.registry.part import RegistryPart
from servery.registry.records import ArtifactInfo

PACKAGES = "packages"
"""The folder of the view: below it nothing can be written or deleted."""
PACKAGE_FILES_MAX = 20_000
ENTRIES_MAX = 50_000
"""The longest listing of one folder."""


@dataclass(frozen=True, slots=True)
class OpenArtifact:
    """A file to read; the receiver closes it."""

    file: BinaryIO
    size_bytes: int


class ArtifactUpload:
    """A file on its way to a path; made by ``begin_artifact``, ended by ``commit`` or ``abort``."""

    def __init__(self, files: ArtifactFiles, path: str, upload: Upload) -> None:
        self._files = files
        self._path = path
        self._upload = upload

    def write(self, chunk: bytes) -> None:
        self._upload.write(chunk)

    def commit(self) -> Blob:
        """Make it visible at its path, in place of what was there."""
        blob = self._upload.commit()
        self._files.place_artifact(self._path, blob)
        return blob

    def abort(self) -> None:
        self._upload.abort()


class ArtifactFiles(RegistryPart):
    """Files by path."""

    def put_artifact(self, path: str, chunks: Iterable[bytes]) -> Blob:
        """Store a file at ``path``, in place of what was there.

        Raises:
            InvalidInput: the path is none, is read-only, is a folder, or lies below a file.
            Unavailable: the store or the database takes no data now.
        """
        upload = self.begin_artifact(path)
        try:
            for chunk in chunks:
                upload.write(chunk)
            return upload.commit()
        except BaseException:
            upload.abort()
            raise

    def begin_artifact(self, path: str) -> ArtifactUpload:
        """As ``put_artifact``, for a caller that gets its chunks one by one."""
        path = parse_artifact_path(path)
        if path.split("/")[0] == PACKAGES:
            raise InvalidInput("path", expected=f"a path outside '{PACKAGES}', which is read-only", got=path)
        return ArtifactUpload(self, path, self._artifacts.begin())

    def place_artifact(self, path: str, blob: Blob) -> None:
        """Name a blob that the store has made durable. Only then may the database know of it."""
        now_ms = self._clock.now_ms()
        with writing(self._engine) as session:
            above = [path[:index] for index, character in enumerate(path) if character == "/"]
            if session.scalar(select(ArtifactRow.path).where(ArtifactRow.path.in_(above)).limit(1)) is not None:
                raise InvalidInput("path", expected="a path that is not below a file", got=path)
            if session.scalar(select(ArtifactRow.path).where(_below(path)).limit(1)) is not None:
                raise InvalidInput("path", expected="a path that is not a folder", got=path)
            if session.get(BlobRow, blob.sha256) is None:
                session.add(BlobRow(sha256=blob.sha256, size_bytes=blob.size_bytes, created_at_ms=now_ms))
                session.flush()
            session.merge(ArtifactRow(path=path, sha256=blob.sha256, created_at_ms=now_ms))

    def list_artifacts(self, path: str) -> tuple[ArtifactInfo, ...]:
        """The entries of a folder by name; empty for a file and for what does not exist."""
        path = path.strip("/")
        with reading(self._engine) as session:
            prefix = f"{path}/" if path else ""
            files = _files_below(session, path, files_max=ENTRIES_MAX)
        entries: dict[str, ArtifactInfo] = {}
        for file in files:
            name, slash, _ = file.path.removeprefix(prefix).partition("/")
            entries[name] = ArtifactInfo(name, bool(slash), None if slash else file.size_bytes)
        return tuple(entries[name] for name in sorted(entries))

    def open_artifact(self, path: str) -> OpenArtifact:
        """Raises NotFound when there is no file at ``path``; a folder is none."""
        path = parse_artifact_path(path)
        with reading(self._engine) as session:
            digest, inner = package_path(path)
            if digest is not None:
                query = select(PackageFileRow.sha256).where(
                    PackageFileRow.digest == digest, PackageFileRow.path == inner
                )
            else:
                query = select(ArtifactRow.sha256).where(ArtifactRow.path == path)
            sha256 = session.scalar(query)
        if sha256 is None:
            raise NotFound("Artifact", path)
        return self.open_blob(Digest(sha256))

    def delete_artifacts(self, path: str) -> None:
        """Delete the file at ``path`` or all below it. Published versions keep theirs. Raises NotFound."""
        # MLflow's client ends a folder with a slash.
        path = parse_artifact_path(path.removesuffix("/"))
        if path.split("/")[0] == PACKAGES:
            raise InvalidInput("path", expected=f"a path outside '{PACKAGES}', which is read-only", got=path)
        with writing(self._engine) as session:
            found = session.scalars(select(ArtifactRow.path).where((ArtifactRow.path == path) | _below(path))).all()
            if not found:
                raise NotFound("Artifact", path)
            session.execute(delete(ArtifactRow).where((ArtifactRow.path == path) | _below(path)))

    def manifest(self, digest: Digest) -> Manifest:
        """The manifest of a published package. Raises NotFound."""
        with reading(self._engine) as session:
            if session.get(PackageRow, digest) is None:
                raise NotFound("Package", digest)
            return make_manifest(list(_package_files(session, digest)))

    def open_blob(self, sha256: Digest) -> OpenArtifact:
        """Raises NotFound when the registry names no such file, Unavailable when the store has lost it."""
        with reading(self._engine) as session:
            size_bytes = session.scalar(select(BlobRow.size_bytes).where(BlobRow.sha256 == sha256))
        if size_bytes is None:
            raise NotFound("Blob", sha256)
        try:
            return OpenArtifact(self._artifacts.open(sha256), size_bytes)
        except NotFound:
            message = f"The artifact store has lost the file {sha256}."
            raise Unavailable(message, retry_after_seconds=60) from None

    def freeze(self, path: str) -> Manifest:
        """The manifest of all files below a folder as they are now.

        Raises:
            PackageInvalid: there are none, or too many.
        """
        with reading(self._engine) as session:
            files = _files_below(session, path, files_max=PACKAGE_FILES_MAX)
        if not files:
            raise PackageInvalid(f"There are no files below '{path}' in the artifact store.")
        return make_manifest(
            [FileEntry(file.path.removeprefix(f"{path}/"), file.sha256, file.size_bytes) for file in files]
        )


def parse_artifact_path(path: str) -> str:
    """Raises InvalidInput for a path that is absolute, climbs, or can be written in another way."""
    try:
        return check_relative_path(path)
    except PackageInvalid:
        raise InvalidInput("path", expected="a relative path without '..' and empty parts", got=path) from None


def package_path(path: str) -> tuple[Digest | None, str]:
    """``packages/<digest>/a/b`` → the digest and ``a/b``; None for a path outside the view."""
    top, _, rest = path.partition("/")
    if top != PACKAGES or not rest:
        return None, path
    digest, _, inner = rest.partition("/")
    return parse_digest(digest, field="path"), inner


def _below(path: str) -> ColumnElement[bool]:
    """All paths below a folder, found through the key's order: '0' is the character after '/'."""
    return (ArtifactRow.path > f"{path}/") & (ArtifactRow.path < f"{path}0")


def _files_below(session: Session, path: str, *, files_max: int) -> list[FileEntry]:
    if path:
        parse_artifact_path(path)
    digest, inner = package_path(path)
    if digest is not None:
        return [
            FileEntry(f"{PACKAGES}/{digest}/{file.path}", file.sha256, file.size_bytes)
            for file in _package_files(session, digest)
            if not inner or file.path.startswith(f"{inner}/")
        ]
    query = select(ArtifactRow.path, BlobRow.sha256, BlobRow.size_bytes).join(BlobRow).limit(files_max + 1)
    rows = session.execute(query.where(_below(path)) if path else query).all()
    if len(rows) > files_max:
        raise PackageInvalid(f"There are more than {files_max} files below '{path}'.")
    return [FileEntry(row.path, Digest(row.sha256), row.size_bytes) for row in rows]


def _package_files(session: Session, digest: Digest) -> Iterator[FileEntry]:
    query = select(PackageFileRow.path, BlobRow.sha256, BlobRow.size_bytes).join(BlobRow)
    for row in session.execute(query.where(PackageFileRow.digest == digest)):
        yield FileEntry(row.path, Digest(row.sha256), row.size_bytes)
