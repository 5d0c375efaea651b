"""Whether the process lives, and which MLflow API it speaks. For load balancers and for MLflow's own client."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from servery.api.routes import Access, Route
from servery.api.services import Services

MLFLOW_VERSION = "3.17.2"
"""The release of MLflow whose REST API this server follows."""


async def _health(_services: Services, request: Request) -> Response:
    """503 once the reconciler has ended: endpoints would no longer follow what is asked."""
    if request.app.state.reconciler.done():
        return PlainTextResponse("The reconciler has ended; the server's log says why.", status_code=503)
    return PlainTextResponse("OK")


async def _livez(_services: Services, _request: Request) -> Response:
    return PlainTextResponse("OK")


async def _readyz(services: Services, _request: Request) -> Response:
    """503 while endpoints do not follow what is asked: at the start, and while the database cannot be used."""
    if not services.deployments.healthy:
        return PlainTextResponse("Endpoints do not follow what is asked at the moment.", status_code=503)
    return PlainTextResponse("OK")


async def _version(_services: Services, _request: Request) -> Response:
    return PlainTextResponse(MLFLOW_VERSION)


ROUTES = (
    Route("GET", "/health", _health, Access.PUBLIC),
    Route("GET", "/livez", _livez, Access.PUBLIC),
    Route("GET", "/readyz", _readyz, Access.PUBLIC),
    Route("GET", "/version", _version, Access.PUBLIC),
)
