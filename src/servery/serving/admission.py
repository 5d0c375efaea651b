"""What is decided from a request's head alone, before a byte of its body is looked at."""

from __future__ import annotations

from servery.errors import InvalidInput, UnsupportedMediaType
from servery_worker.wire import MediaType, Options

_MEDIA_TYPES = {
    "text/csv": MediaType.CSV,
    "application/json": MediaType.JSON,
    "application/vnd.apache.parquet": MediaType.PARQUET,
    "application/vnd.apache.arrow.stream": MediaType.ARROW,
    # A file holds a stream, which is what is read of it.
    "application/vnd.apache.arrow.file": MediaType.ARROW,
}
SUPPORTED = tuple(_MEDIA_TYPES)
_BY_NAME = {name.encode(): media_type for name, media_type in _MEDIA_TYPES.items()}
TIMEOUT_MS_MAX = 24 * 3600 * 1000


def media_type_of(content_type: bytes | None) -> MediaType:
    """The media type of a Content-Type value; UTF-8 is the only charset, as MLflow has it.

    Raises:
        UnsupportedMediaType: it is missing, or another.
    """
    if content_type is None:
        raise UnsupportedMediaType(None, supported=SUPPORTED)
    known = _BY_NAME.get(content_type)
    if known is not None:
        return known
    name, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    known = _BY_NAME.get(name)
    if known is None or any(_charset(parameter) not in {b"utf-8", b"utf8", b""} for parameter in parameters):
        raise UnsupportedMediaType(content_type.decode("latin-1"), supported=SUPPORTED)
    return known


def _charset(parameter: bytes) -> bytes:
    """The charset that a parameter names; empty for no parameter at all, itself for any other one."""
    key, _, value = parameter.partition(b"=")
    return value.strip(b'" ') if key.strip() == b"charset" else parameter


def nan_options_of(wanted: bytes) -> Options:
    """How NaN shall be written, by ``X-Servery-Nan``.

    Raises:
        InvalidInput: it is not ``bare``, the one thing that it may say.
    """
    if wanted != b"bare":
        raise InvalidInput("X-Servery-Nan", expected="'bare'", got=wanted.decode("latin-1"))
    return Options.BARE_NAN


def timeout_seconds_of(timeout_ms: bytes | None, *, default_seconds: float) -> float:
    """How long the caller will wait: its ``X-Request-Timeout-Ms``, or the gateway's default.

    Raises:
        InvalidInput: it is no whole number of milliseconds.
    """
    if timeout_ms is None:
        return default_seconds
    if not timeout_ms.isdigit() or not 1 <= int(timeout_ms[:12]) <= TIMEOUT_MS_MAX:
        raise InvalidInput(
            "X-Request-Timeout-Ms",
            expected=f"a whole number of milliseconds from 1 to {TIMEOUT_MS_MAX}",
            got=timeout_ms.decode("latin-1"),
        )
    return int(timeout_ms) / 1000
