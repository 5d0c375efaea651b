"""What an import would do, before anything is done: each model of an MLflow server beside what is here already.

What only this side has (a tag, an alias, a version) stays; what both have is brought up to date from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from servery.client.artifact_folders import ArtifactFolder, RemoteFile
from servery.client.mlflow_server import SourceModel, SourceVersion
from servery.client.records import ModelVersion, RegisteredModel
from servery.package.manifest import BYTECODE_FOLDER, Manifest

STAGE_TAG = "mlflow.stage"
"""Keeps a version's stage: Servery has aliases instead."""
TAGS_LENGTH_MAX = 200_000
"""Characters of tags that are sent with a version; the others follow one by one."""


class Outcome(StrEnum):
    """What becomes of a version."""

    NEW = "new"
    """It will be imported."""
    IMPORTED = "imported"
    SAME = "same"
    """It is here already."""
    SKIPPED = "skipped"
    """The other server has not published it."""
    FAILED = "failed"


class ChangeKind(StrEnum):
    """What of a model or version is brought up to date."""

    DESCRIPTION = "description"
    TAG = "tag"
    ALIAS = "alias"


@dataclass(frozen=True, slots=True)
class Change:
    """A description, tag or alias to bring up to date; a ``value`` of None takes the tag away."""

    kind: ChangeKind
    key: str
    value: str | None
    version: int | None = None

    def __str__(self) -> str:
        where = "" if self.version is None else f" of version {self.version}"
        if self.kind is ChangeKind.DESCRIPTION:
            return f"description{where}"
        return f"{self.kind} {self.key}{where}" + (" taken away" if self.value is None else f" = {self.value[:80]}")


@dataclass(frozen=True, slots=True)
class VersionPlan:
    """One version: its source with the files there, and what becomes of it."""

    version: SourceVersion
    outcome: Outcome
    message: str = ""
    folder: ArtifactFolder | None = None
    artifacts: str = ""
    files: tuple[RemoteFile, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes or 0 for file in self.files)


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model; with a ``problem`` nothing of it is imported."""

    model: SourceModel
    is_new: bool
    versions: tuple[VersionPlan, ...] = ()
    changes: tuple[Change, ...] = ()
    problem: str = ""

    @property
    def new_versions(self) -> tuple[VersionPlan, ...]:
        return tuple(plan for plan in self.versions if plan.outcome is Outcome.NEW)

    @property
    def all_changes(self) -> tuple[Change, ...]:
        """In the order in which they are made: an alias moves when its version is there and described."""
        described = tuple(change for plan in self.versions for change in plan.changes)
        return (*described, *self.changes)

    @property
    def problems(self) -> tuple[str, ...]:
        own = (f"{self.model.name}: {self.problem}",) if self.problem else ()
        failed = (plan for plan in self.versions if plan.outcome is Outcome.FAILED)
        return (*own, *(f"{self.model.name}/{plan.version.number}: {plan.message}" for plan in failed))


def version_tags(version: SourceVersion) -> dict[str, str]:
    """The tags that the version has here: its own, and its stage as one."""
    return {**version.tags, **({STAGE_TAG: version.stage} if version.stage else {})}


def split_tags(tags: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What is sent in one call, and what is not since it would be too long for one."""
    first: dict[str, str] = {}
    length = 0
    for key, value in tags.items():
        length += len(key) + len(value)
        if length <= TAGS_LENGTH_MAX:
            first[key] = value
    return first, {key: value for key, value in tags.items() if key not in first}


def model_changes(source: SourceModel, target: RegisteredModel | None) -> tuple[Change, ...]:
    """``target`` is None for a model that will be made, with its description and most tags."""
    if target is None:
        tags = split_tags(source.tags)[1]
        return (*(Change(ChangeKind.TAG, key, value) for key, value in tags.items()), *_alias_changes(source, {}))
    return (
        *_described(source.description, target.description, None),
        *_tagged(source.tags, target.tags, None),
        *_alias_changes(source, target.aliases),
    )


def version_changes(source: SourceVersion, target: ModelVersion | None) -> tuple[Change, ...]:
    """As :func:`model_changes`."""
    wanted = version_tags(source)
    if target is None:
        return tuple(Change(ChangeKind.TAG, key, value, source.number) for key, value in split_tags(wanted)[1].items())
    stale = STAGE_TAG in target.tags and STAGE_TAG not in wanted
    return (
        *_described(source.description, target.description, source.number),
        *_tagged(wanted, target.tags, source.number),
        *((Change(ChangeKind.TAG, STAGE_TAG, None, source.number),) if stale else ()),
    )


def difference(files: tuple[RemoteFile, ...], manifest: Manifest) -> str | None:
    """The first file in which a listing and a registered package differ, as a sentence; None where they do not.

    A listing has no digests: names and sizes are compared.
    """
    there = {file.path: file.size_bytes for file in files if BYTECODE_FOLDER not in file.path.split("/")[:-1]}
    here = {file.path: file.size_bytes for file in manifest.files}
    for path in sorted({*there, *here}):
        if path not in there or path not in here:
            return f"'{path}' is only {'here' if path in here else 'there'}"
        if there[path] not in (None, here[path]):
            return f"'{path}' has {here[path]} bytes here and {there[path]} there"
    return None


def _described(wanted: str, found: str, version: int | None) -> Iterator[Change]:
    if wanted and wanted != found:
        yield Change(ChangeKind.DESCRIPTION, "", wanted, version)


def _tagged(wanted: Mapping[str, str], found: Mapping[str, str], version: int | None) -> Iterator[Change]:
    for key, value in wanted.items():
        if found.get(key) != value:
            yield Change(ChangeKind.TAG, key, value, version)


def _alias_changes(source: SourceModel, found: Mapping[str, int]) -> Iterator[Change]:
    for alias, number in source.aliases.items():
        if found.get(alias) != number:
            yield Change(ChangeKind.ALIAS, alias, str(number))
