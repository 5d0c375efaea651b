"""The control plane's application: the declared routes behind the guards, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from servery.api import gateways, imports, mlflow_artifacts, mlflow_registry, packages, probes, serving_endpoints
from servery.api.errors import error_body, error_response
from servery.api.guard import LoopbackGuard, RequestIds
from servery.api.invocations import open_gateway_client
from servery.api.routes import Handler, Route, refuse_undeclared
from servery.api.services import Services
from servery.config import LOOPBACK
from servery.errors import ServeryError

__all__ = ["ROUTES", "Services", "create_app"]

_LOGGER = logging.getLogger(__name__)

ROUTES: tuple[Route, ...] = (
    *probes.ROUTES,
    *mlflow_registry.ROUTES,
    *mlflow_artifacts.ROUTES,
    *packages.ROUTES,
    *imports.ROUTES,
    *serving_endpoints.ROUTES,
    *gateways.ROUTES,
)


def create_app(services: Services, routes: tuple[Route, ...] = ROUTES) -> Starlette:
    """The application; while it runs, so does the reconciler of ``services.deployments``.

    Raises:
        RuntimeError: a route declares no access.
    """
    refuse_undeclared(routes)
    middleware = [Middleware(RequestIds)]
    if services.config.host in LOOPBACK:
        middleware.append(Middleware(LoopbackGuard))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Its end is no end of the process, which still reads and writes; `/health` tells of it.
        app.state.reconciler = task = asyncio.create_task(services.deployments.run(), name="reconciler")
        task.add_done_callback(_log_end)
        async with open_gateway_client() as app.state.gateway_client:
            yield
        task.cancel()
        await asyncio.wait([task])

    app = Starlette(
        routes=[_bind(services, route) for route in routes],
        middleware=middleware,
        exception_handlers={HTTPException: _refuse_path, ServeryError: _refuse},
        lifespan=lifespan,
    )
    # A redirect to the path without its last slash would be a second, undeclared way to each route.
    app.router.redirect_slashes = False
    return app


def _bind(services: Services, route: Route) -> BaseRoute:
    return StarletteRoute(route.path, _endpoint(services, route.handler), methods=[route.method])


def _endpoint(services: Services, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(services, request)

    return endpoint


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOGGER.critical("the reconciler ended", exc_info=error)


async def _refuse(_request: Request, error: Exception) -> Response:
    return error_response(cast("ServeryError", error))


async def _refuse_path(request: Request, raised: Exception) -> Response:
    """Starlette's own refusals: no such path, or not by this method."""
    error = cast("HTTPException", raised)
    if error.status_code == 405:
        message = f"{request.url.path} does not take {request.method}."
        return error_body(405, "BAD_REQUEST", message, headers=dict(error.headers or {}))
    if error.status_code == 404:
        return error_body(404, "ENDPOINT_NOT_FOUND", f"There is nothing at {request.url.path[:200]}.")
    return error_body(error.status_code, "BAD_REQUEST", error.detail)
