"""What the registry tells: immutable records of models, versions and uploaded files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from servery.db.registry_tables import LINEAGE_LENGTH_MAX
from servery.errors import AlreadyExists, InvalidInput, NotFound
from servery.names import Alias, Digest, ModelName, Version

TAG_KEY_LENGTH_MAX = 250
TAG_VALUE_LENGTH_MAX = 100_000
TAGS_MAX = 1_000
TEXT_LENGTH_MAX = 100_000
"""The longest description, as the longest tag."""

RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True)
class ModelVersionRecord:
    """A published version. Its name, number, digest and source never change."""

    name: ModelName
    version: Version
    digest: Digest
    source: str
    description: str
    run_id: str
    run_link: str
    status: str
    tags: Mapping[str, str]
    aliases: tuple[Alias, ...]
    created_at_ms: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A registered model; ``latest`` is its version with the highest number, None while it has none."""

    name: ModelName
    description: str
    tags: Mapping[str, str]
    aliases: Mapping[Alias, Version]
    latest: ModelVersionRecord | None
    created_at_ms: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """An entry of a folder of uploaded files; a folder has no size."""

    name: str
    is_folder: bool
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Page(Generic[RecordT]):
    """Some of the records that a search found; ``next_page_token`` asks for the following ones, None at the end."""

    records: tuple[RecordT, ...]
    next_page_token: str | None


def model_not_found(name: str) -> NotFound:
    return NotFound("Registered model", name, message=f"Registered Model with name={name} not found.")


def model_exists(name: str) -> AlreadyExists:
    return AlreadyExists("Registered model", name, message=f"Registered Model (name={name}) already exists.")


def version_not_found(name: str, version: int) -> NotFound:
    message = f"Model Version (name={name}, version={version}) not found."
    return NotFound("Model version", f"{name}/{version}", message=message)


def version_exists(name: str, version: int) -> AlreadyExists:
    message = f"Model Version (name={name}, version={version}) already exists, or did before it was deleted."
    return AlreadyExists("Model version", f"{name}/{version}", message=message)


def encode_lineage(lineage: Mapping[str, Any]) -> str:
    """As JSON, with sorted keys. Raises InvalidInput for what is none, or is too long."""
    try:
        body = json.dumps(lineage, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput("lineage", expected="a JSON object", got=type(lineage).__name__) from None
    if len(body) > LINEAGE_LENGTH_MAX:
        raise InvalidInput("lineage", expected=f"at most {LINEAGE_LENGTH_MAX} characters of JSON", got=str(len(body)))
    return body


def alias_not_found(name: str, alias: str) -> NotFound:
    return NotFound("Alias", f"{name}@{alias}", message=f"Registered model alias {alias} not found.")


def check_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """MLflow's limits for a registry tag.

    Raises:
        InvalidInput: a key or a value is too long, or there are too many.
    """
    if len(tags) > TAGS_MAX:
        raise InvalidInput("tags", expected=f"at most {TAGS_MAX} tags", got=len(tags))
    for key, value in tags.items():
        if not 1 <= len(key) <= TAG_KEY_LENGTH_MAX or not key.isprintable():
            raise InvalidInput("key", expected=f"1 to {TAG_KEY_LENGTH_MAX} printable characters", got=key)
        if len(value) > TAG_VALUE_LENGTH_MAX:
            raise InvalidInput("value", expected=f"at most {TAG_VALUE_LENGTH_MAX} characters", got=f"{len(value)}")
        _check_unicode("value", value)
    return tags


def check_text(field: str, text: str) -> str:
    """Raises InvalidInput for a text that is too long or that no database stores."""
    if len(text) > TEXT_LENGTH_MAX:
        raise InvalidInput(field, expected=f"at most {TEXT_LENGTH_MAX} characters", got=f"{len(text)}")
    return _check_unicode(field, text)


def _check_unicode(field: str, text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(field, expected="text without NUL and lone surrogates", got="one of them")
    return text
