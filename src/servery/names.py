"""The names that the whole system uses, as types: parsed once at the edge, then trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NewType
from urllib.parse import unquote, urlsplit

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
    """A model package on this machine: a path, or ``file:///path``"""
    VERSION = "version"
    """``models:/name/3``"""
    ALIAS = "alias"
    """``models:/name@alias``"""
    LOGGED_MODEL = "logged_model"
    """``models:/m-0123abc…``: a logged model of an MLflow server"""
    RUN = "run"
    """``runs:/<run id>/<path>``: what a run of an MLflow server has logged"""
    ARTIFACTS = "artifacts"
    """``mlflow-artifacts:/<path>``: files that an MLflow server keeps"""
    OBJECT_STORE = "object_store"
    """``s3://bucket/path`` and the like"""


REGISTERED = frozenset({UriKind.VERSION, UriKind.ALIAS})
"""The kinds that name a version of a registered model."""
OBJECT_STORE_SCHEMES = ("s3://", "gs://", "az://", "abfss://")
MODEL_URI_FORMS = (
    "a folder, models:/name/3, models:/name@alias, models:/m-<id>, runs:/<run id>/<path>, mlflow-artifacts:/<path>, "
    "s3://…, gs://…, az://… or file://…"
)
_MODEL_ID = re.compile(r"m-[0-9A-Za-z]{1,64}")
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


@dataclass(frozen=True, slots=True)
class ModelUri:
    """A MODEL_URI, parsed. Exactly the fields of its kind are set.

    ``path`` is relative, without ``..`` or empty parts: inside the run, or among the server's artifacts. An
    ``mlflow-artifacts://host:port/path`` has ``authority`` too. An object store's address is ``text`` itself.
    """

    text: str
    kind: UriKind
    folder: str | None = None
    name: ModelName | None = None
    version: Version | None = None
    alias: Alias | None = None
    model_id: str | None = None
    run_id: str | None = None
    path: str | None = None
    authority: str | None = None

    def __str__(self) -> str:
        return self.text


def parse_model_uri(text: str) -> ModelUri:
    """Parse a MODEL_URI of any kind; nothing is looked up.

    Raises:
        InvalidInput: another scheme, or a name, version, alias or path that is none.
    """
    if text.startswith("models:/"):
        return _parse_models_uri(text)
    if text.startswith("runs:/"):
        run_id, _, path = text.removeprefix("runs:/").lstrip("/").partition("/")
        if not _RUN_ID.fullmatch(run_id):
            raise InvalidInput("MODEL_URI", expected="runs:/<run id>/<path>", got=text)
        return ModelUri(text, UriKind.RUN, run_id=run_id, path=_parse_path(text, path))
    if text.startswith("mlflow-artifacts:/"):
        rest, authority = text.removeprefix("mlflow-artifacts:/"), ""
        if rest.startswith("/"):
            authority, _, rest = rest[1:].partition("/")
        return ModelUri(text, UriKind.ARTIFACTS, path=_parse_path(text, rest), authority=authority or None)
    if text.startswith(OBJECT_STORE_SCHEMES):
        return _parse_object_uri(text)
    if text.startswith("file:"):
        return ModelUri(text, UriKind.FOLDER, folder=_parse_file_uri(text))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text) or not text:
        raise InvalidInput("MODEL_URI", expected=MODEL_URI_FORMS, got=text)
    return ModelUri(text, UriKind.FOLDER, folder=text)


def _parse_models_uri(text: str) -> ModelUri:
    rest = text.removeprefix("models:/").lstrip("/")
    if "/" in rest:
        name, _, version = rest.rpartition("/")
        return ModelUri(text, UriKind.VERSION, name=parse_model_name(name), version=parse_version(version))
    if "@" in rest:
        name, _, alias = rest.rpartition("@")
        return ModelUri(text, UriKind.ALIAS, name=parse_model_name(name), alias=parse_alias(alias))
    if _MODEL_ID.fullmatch(rest):
        return ModelUri(text, UriKind.LOGGED_MODEL, model_id=rest)
    expected = "models:/name/3, models:/name@alias or models:/m-<id of a logged model>"
    raise InvalidInput("MODEL_URI", expected=expected, got=text)


def _parse_object_uri(text: str) -> ModelUri:
    scheme, _, rest = text.partition("://")
    bucket, _, path = rest.partition("/")
    # Only Azure writes a container before the '@'; anywhere else it would be a secret, which does not belong there.
    if not bucket or (scheme != "abfss" and "@" in bucket) or ":" in bucket:
        raise InvalidInput(
            "MODEL_URI", expected=f"{scheme}://<bucket>/<path>, without credentials", got=f"{scheme}://…"
        )
    return ModelUri(text, UriKind.OBJECT_STORE, path=_parse_path(text, path))


def _parse_file_uri(text: str) -> str:
    parts = urlsplit(text)
    folder = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or not folder.startswith("/") or parts.query or parts.fragment:
        raise InvalidInput("MODEL_URI", expected="file:///<absolute path on this machine>", got=text)
    return folder


def _parse_path(text: str, path: str) -> str:
    path = path.removesuffix("/")
    if not path or "\\" in path or "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise InvalidInput("MODEL_URI", expected="a path to a folder, without '..' or empty parts", got=text)
    return path
