"""A step's request in httpcore's words, and what httpcore says back in ours: what threads and asyncio do alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servery.client.predictions.steps import Loss, Lost, Send

if TYPE_CHECKING:
    import httpcore

IDLE_SECONDS_MAX = 60.0
"""How long a connection is kept without a request: less than the 75 s after which a gateway closes it."""


def request_of(step: Send, timeout: Mapping[str, float]) -> httpcore.Request:
    import httpcore

    parts = urlsplit(step.url)
    headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "servery", "Accept-Encoding": "identity"}
    if step.method != "GET":
        headers["Content-Length"] = str(len(step.content))
    pairs: list[tuple[bytes | str, bytes | str]] = [*headers.items(), *step.headers.items()]
    extensions = {"timeout": dict(timeout)}
    return httpcore.Request(step.method, step.url, headers=pairs, content=step.content, extensions=extensions)


def headers_of(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def lost_of(error: Exception) -> Lost:
    import httpcore

    detail = str(error) or type(error).__name__
    if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
        return Lost(Loss.UNSENT, detail)
    if isinstance(error, httpcore.TimeoutException):
        return Lost(Loss.LATE, detail)
    return Lost(Loss.BROKEN, detail)
