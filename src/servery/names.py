"""The names that the whole system uses, as types: parsed once at the edge, then trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NewType

from servery.errors import InvalidInput

ModelName = NewType("ModelName", str)
Version = NewType("Version", int)
Alias = NewType("Alias", str)
EndpointName = NewType("EndpointName", str)
Digest = NewType("Digest", str)
"""64 lower-case hexadecimal digits: the SHA-256 of a file, or of a version's manifest."""

NAME_LENGTH_MAX = 256
_ALIAS = re.compile(r"[\w-]{1,255}", re.ASCII)
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE | re.ASCII)
_ENDPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def parse_model_name(text: object, *, field: str = "name") -> ModelName:
    """MLflow's rule: not empty, no ``/`` and no ``:``; ours besides: printable, at most 256 characters."""
    expected = f"a model name of 1 to {NAME_LENGTH_MAX} printable characters without '/' or ':'"
    if not isinstance(text, str) or not text.strip() or len(text) > NAME_LENGTH_MAX:
        raise InvalidInput(field, expected=expected, got=text)
    if "/" in text or ":" in text or not text.isprintable() or text in {".", ".."}:
        raise InvalidInput(field, expected=expected, got=text)
    return ModelName(text)


def parse_version(text: object, *, field: str = "version") -> Version:
    """A positive integer, as a number or as its decimal digits."""
    if isinstance(text, bool) or not isinstance(text, str | int) or not re.fullmatch(r"[0-9]{1,18}", str(text)):
        raise InvalidInput(field, expected="a positive integer", got=text)
    if int(text) < 1:
        raise InvalidInput(field, expected="a positive integer", got=text)
    return Version(int(text))


def parse_alias(text: object, *, field: str = "alias") -> Alias:
    """MLflow's rule: letters, digits, ``_`` and ``-``, at most 255, not ``latest`` and not ``v`` with digits."""
    if not isinstance(text, str) or not _ALIAS.fullmatch(text) or _RESERVED_ALIAS.fullmatch(text):
        expected = "1 to 255 letters, digits, '_' or '-', not 'latest' and not a version such as 'v3'"
        raise InvalidInput(field, expected=expected, got=text)
    return Alias(text)


def parse_endpoint_name(text: object, *, field: str = "name") -> EndpointName:
    """The serving-endpoints rule: letters, digits, ``_``, ``.`` and ``-``, at most 63, a letter or digit first."""
    if not isinstance(text, str) or not _ENDPOINT.fullmatch(text):
        expected = "1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit"
        raise InvalidInput(field, expected=expected, got=text)
    return EndpointName(text)


def parse_digest(text: object, *, field: str = "digest") -> Digest:
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise InvalidInput(field, expected="64 lower-case hexadecimal digits", got=text)
    return Digest(text)


class UriKind(Enum):
    """Where a MODEL_URI leads."""

    FOLDER = "folder"
    """A model package on this machine."""
    VERSION = "version"
    """``models:/name/3``"""
    ALIAS = "alias"
    """``models:/name@alias``"""


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A MODEL_URI, parsed. Exactly the fields of its kind are set."""

    text: str
    kind: UriKind
    folder: str | None = None
    name: ModelName | None = None
    version: Version | None = None
    alias: Alias | None = None

    def __str__(self) -> str:
        return self.text


def parse_model_uri(text: str) -> ModelUri:
    """Parse ``models:/name/3``, ``models:/name@alias`` or a folder's path.

    Raises:
        InvalidInput: another scheme, or a name, version or alias that is none.
    """
    if text.startswith("models:/"):
        rest = text.removeprefix("models:/").lstrip("/")
        if "/" in rest:
            name, _, version = rest.rpartition("/")
            return ModelUri(text, UriKind.VERSION, name=parse_model_name(name), version=parse_version(version))
        if "@" in rest:
            name, _, alias = rest.rpartition("@")
            return ModelUri(text, UriKind.ALIAS, name=parse_model_name(name), alias=parse_alias(alias))
        raise InvalidInput("MODEL_URI", expected="models:/name/3 or models:/name@alias", got=text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text) or not text:
        raise InvalidInput("MODEL_URI", expected="a folder, models:/name/3 or models:/name@alias", got=text)
    return ModelUri(text, UriKind.FOLDER, folder=text)
