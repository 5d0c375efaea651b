"""The outermost layers of the control plane: each request gets an id, and a browser's tricks are refused.

A page of any site may make its visitor's browser call ``http://127.0.0.1:8400``, directly or by a name of its
own that it lets point there. On the loopback address there is no other guard, so a foreign Host and a foreign
Origin are refused.
"""

from __future__ import annotations

import logging
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servery.api.errors import error_body
from servery.config import LOOPBACK

_LOGGER = logging.getLogger(__name__)
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class RequestIds:
    """Gives each answer an ``X-Request-Id``, and turns what nobody caught into an answer without details."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                # A forwarded answer has its gateway's id already.
                MutableHeaders(scope=message).setdefault("X-Request-Id", request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _LOGGER.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            if started:
                raise
            message = f"An internal error occurred; the server's log has it under request id {request_id}."
            await error_body(500, "INTERNAL_ERROR", message)(scope, receive, send_with_id)


class LoopbackGuard:
    """Refuses what does not come from this machine's own pages and programs: 403."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)


def _refusal(method: str, headers: Headers) -> Response | None:
    host = headers.get("host", "")
    if _hostname(f"//{host}") not in LOOPBACK:
        return error_body(403, "PERMISSION_DENIED", "This server answers only to its loopback address as the Host.")
    if method in _SAFE_METHODS:
        return None
    origin = headers.get("origin")
    foreign = origin is not None and origin not in {f"http://{host}", f"https://{host}"}
    if foreign or headers.get("sec-fetch-site") == "cross-site":
        return error_body(403, "PERMISSION_DENIED", "This server takes no changes from the pages of other sites.")
    return None


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
