"""The table of routes: what can be called, and who may call it.

Every module of this room ends in a tuple ``ROUTES``; ``app.create_app`` serves these and nothing else, and
refuses to start while one of them declares no access (rule 6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from starlette.requests import Request
from starlette.responses import Response

from servery.api.services import Services

Handler = Callable[[Services, Request], Awaitable[Response]]
"""Answers one request; raises a ServeryError for what it refuses."""


class Access(Enum):
    """The right that a caller needs."""

    PUBLIC = "public"
    """None: whether the process lives, and which version it is."""
    VIEW = "view"
    """See models, versions and endpoints, and read a package's files."""
    EDIT = "edit"
    """Upload packages, create models and versions, describe and tag them."""
    DEPLOY = "deploy"
    """Say which version answers: aliases and endpoints."""
    MANAGE = "manage"
    """Delete and rename."""
    INVOKE = "invoke"
    """Send an endpoint requests."""
    GATEWAY = "gateway"
    """What a gateway does: follow the routing table, fetch packages, report."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path; ``{name}`` takes a segment of the path and ``{name:path}`` the rest of it."""

    method: str
    path: str
    handler: Handler
    access: Access | None = None


def on_each(prefixes: tuple[str, ...], routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """The same routes below each prefix: MLflow serves its API under two."""
    return tuple(
        Route(route.method, prefix + route.path, route.handler, route.access) for prefix in prefixes for route in routes
    )


def refuse_undeclared(routes: tuple[Route, ...]) -> None:
    """Raises RuntimeError for the first route that declares no access or is declared twice."""
    seen: set[tuple[str, str]] = set()
    for route in routes:
        if not isinstance(route.access, Access):
            raise RuntimeError(f"The route {route.method} {route.path} does not declare who may call it.")
        if (route.method, route.path) in seen:
            raise RuntimeError(f"The route {route.method} {route.path} is declared twice.")
        seen.add((route.method, route.path))
