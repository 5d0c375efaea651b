"""Versions: published once, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from servery.db.engine import writing
from servery.db.registry_tables import (
    DELETED,
    READY,
    AliasRow,
    PackageFileRow,
    PackageRow,
    VersionLineageRow,
    VersionRow,
    VersionTagRow,
)
from servery.errors import InvalidInput
from servery.names import Digest, ModelName, Version, parse_model_uri
from servery.package.manifest import MANIFEST_BYTES_MAX, Manifest
from servery.package.seal import SEAL_FILE, check_seal
from servery.registry.artifact_files import parse_artifact_path
from servery.registry.part import model_row, version_row
from servery.registry.published import PublishedVersions
from servery.registry.queries import version_records
from servery.registry.records import (
    ModelVersionRecord,
    check_tags,
    check_text,
    encode_lineage,
    version_exists,
)

_ARTIFACTS_SCHEME = "mlflow-artifacts:"
_SOURCE_LENGTH_MAX = 2_000
NUMBER_MAX = 1_000_000_000
"""The highest number that an import may give: a jump beyond would leave a model no numbers of its own."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What an imported version brings with it; ``lineage`` is JSON."""

    number: Version
    created_at_ms: int
    lineage: str | None


class Versions(PublishedVersions):
    """All methods raise NotFound for a model or version that does not exist or was deleted."""

    def create_version(
        self,
        name: ModelName,
        source: str,
        *,
        description: str = "",
        run_id: str = "",
        run_link: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersionRecord:
        """Publish what lies at ``source`` as the model's next version.

        ``source`` is a folder of uploaded files (``mlflow-artifacts:/uploads/…``) or a version
        (``models:/name/3``, ``models:/name@alias``). Its files are frozen as they are at this moment.

        Raises:
            InvalidInput: the source is of another kind, or a text is beyond the limits.
            PackageInvalid: there is no model package at the source, or it is not what its seal says.
        """
        texts = {"description": description, "run_id": run_id, "run_link": run_link}
        return self._publish(name, source, texts, tags or {}, None)

    def import_version(
        self,
        name: ModelName,
        source: str,
        *,
        number: Version,
        created_at_ms: int,
        description: str = "",
        run_id: str = "",
        run_link: str = "",
        tags: Mapping[str, str] | None = None,
        lineage: Mapping[str, Any] | None = None,
    ) -> ModelVersionRecord:
        """As :meth:`create_version`, for a version that another server has published: its number and time are kept.

        Numbers between stay free for later imports; ``create_version`` gives none of them, nor any below. ``lineage``
        is kept as it is.

        Raises:
            AlreadyExists: the number is taken, or was, by a version that was deleted.
            InvalidInput: the time is none, or the lineage is no JSON or too long. A time to come is taken for now: two
                servers' clocks may differ.
        """
        if created_at_ms < 0:
            raise InvalidInput("created_at_ms", expected="milliseconds since 1970", got=created_at_ms)
        if number > NUMBER_MAX:
            raise InvalidInput("number", expected=f"at most {NUMBER_MAX}", got=number)
        texts = {"description": description, "run_id": run_id, "run_link": run_link}
        given = _Given(number, created_at_ms, None if lineage is None else encode_lineage(lineage))
        return self._publish(name, source, texts, tags or {}, given)

    def _publish(
        self, name: ModelName, source: str, texts: Mapping[str, str], tags: Mapping[str, str], given: _Given | None
    ) -> ModelVersionRecord:
        for field, text in texts.items():
            check_text(field, text)
        check_tags(tags)
        # Unknown models are refused before the work of freezing.
        self.get_model(name)
        digest, manifest, source = self._freeze_source(source)
        now_ms = self._clock.now_ms()
        with writing(self._engine) as session:
            model = model_row(session, name)
            number = model.next_version if given is None else given.number
            if session.get(VersionRow, (model.id, number)) is not None:
                raise version_exists(name, number)
            if manifest is not None:
                _add_package(session, digest, manifest, now_ms)
            model.next_version = max(model.next_version, number + 1)
            model.updated_at_ms = now_ms
            session.flush()
            row = VersionRow(
                model_id=model.id,
                number=number,
                status=READY,
                digest=digest,
                source=source,
                created_at_ms=now_ms if given is None else min(given.created_at_ms, now_ms),
                updated_at_ms=now_ms,
                **texts,
            )
            session.add(row)
            session.flush()
            where = {"model_id": model.id, "number": number}
            session.add_all(VersionTagRow(**where, key=key, value=value) for key, value in tags.items())
            if given is not None and given.lineage is not None:
                session.add(VersionLineageRow(**where, status=READY, body=given.lineage))
            session.flush()
            return version_records(session, [row], {model.id: model.name})[0]

    def update_version(self, name: ModelName, version: Version, *, description: str) -> ModelVersionRecord:
        check_text("description", description)
        with writing(self._engine) as session:
            row = version_row(session, name, version)
            row.description = description
            row.updated_at_ms = self._clock.now_ms()
            session.flush()
            return version_records(session, [row], {row.model_id: name})[0]

    def delete_version(self, name: ModelName, version: Version) -> None:
        """Its aliases and tags go too, and all it told of; its number is never given again."""
        with writing(self._engine) as session:
            row = version_row(session, name, version)
            is_its = (AliasRow.model_id == row.model_id) & (AliasRow.number == row.number)
            session.execute(delete(AliasRow).where(is_its))
            is_its = (VersionTagRow.model_id == row.model_id) & (VersionTagRow.number == row.number)
            session.execute(delete(VersionTagRow).where(is_its))
            is_its = (VersionLineageRow.model_id == row.model_id) & (VersionLineageRow.number == row.number)
            session.execute(delete(VersionLineageRow).where(is_its))
            row.status, row.digest = DELETED, None
            row.source = row.run_id = row.run_link = row.description = ""
            row.updated_at_ms = model_row(session, name).updated_at_ms = self._clock.now_ms()

    def set_version_tag(self, name: ModelName, version: Version, *, key: str, value: str) -> None:
        check_tags({key: value})
        with writing(self._engine) as session:
            row = version_row(session, name, version)
            session.merge(VersionTagRow(model_id=row.model_id, number=row.number, key=key, value=value))

    def delete_version_tag(self, name: ModelName, version: Version, *, key: str) -> None:
        """Does nothing when the version has no such tag."""
        with writing(self._engine) as session:
            row = version_row(session, name, version)
            is_it = (VersionTagRow.number == row.number) & (VersionTagRow.key == key)
            session.execute(delete(VersionTagRow).where(VersionTagRow.model_id == row.model_id, is_it))

    def _check_seal(self, manifest: Manifest) -> None:
        entry = next((file for file in manifest.files if file.path == SEAL_FILE), None)
        if entry is not None:
            with self.open_blob(entry.sha256).file as file:
                check_seal(manifest, file.read(MANIFEST_BYTES_MAX + 1))

    def _freeze_source(self, source: str) -> tuple[Digest, Manifest | None, str]:
        """The digest, the manifest when it may be new, and the source as it is remembered."""
        if source.startswith("models:/"):
            uri = parse_model_uri(source)
            which = uri.version or uri.alias
            if uri.name is None or which is None:
                raise _unknown_source(source)
            origin = self.resolve(uri.name, which)
            return origin.digest, None, f"models:/{origin.name}/{origin.version}"
        manifest = self.freeze(_source_path(source))
        self.mlmodel(manifest)
        self._check_seal(manifest)
        return manifest.digest, manifest, source


def _source_path(source: str) -> str:
    """``mlflow-artifacts:/a/b`` and ``mlflow-artifacts://host:port/a/b`` → ``a/b``."""
    rest = source.removeprefix(_ARTIFACTS_SCHEME)
    if rest == source or not rest.startswith("/") or len(source) > _SOURCE_LENGTH_MAX:
        raise _unknown_source(source)
    if rest.startswith("//"):
        # After two slashes comes an authority, which may be empty; the files are always this server's own.
        rest = "/" + rest[2:].partition("/")[2]
    try:
        return parse_artifact_path(rest.strip("/"))
    except InvalidInput:
        raise _unknown_source(source) from None


def _unknown_source(source: str) -> InvalidInput:
    # `mlflow.register_model` sends a folder's path as it is, and uploads nothing.
    expected = (
        "mlflow-artifacts:/<path of uploaded files>, models:/<name>/<version> or models:/<name>@<alias> "
        "(a folder on your machine is uploaded by 'servery register FOLDER --name NAME')"
    )
    return InvalidInput("source", expected=expected, got=source)


def _add_package(session: Session, digest: Digest, manifest: Manifest, now_ms: int) -> None:
    """Equal packages are one: a second version of the same files shares the first one's."""
    if session.get(PackageRow, digest) is not None:
        return
    session.add(PackageRow(digest=digest, created_at_ms=now_ms))
    session.flush()
    session.add_all(PackageFileRow(digest=digest, path=file.path, sha256=file.sha256) for file in manifest.files)
    session.flush()
