"""Requests for predictions, forwarded to a gateway, for clients that know the control plane's address only."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import httpx
from starlette.requests import Request
from starlette.responses import Response

from servery.api.rpc import read_body
from servery.api.services import Services
from servery.errors import BodyTooLarge, DeadlinePassed, Unavailable
from servery.names import parse_endpoint_name

BODY_BYTES_MAX = 64 << 20
"""As much as a gateway takes unless it is told otherwise."""
_TOO_LARGE = (
    f"This address forwards requests of at most {BODY_BYTES_MAX} bytes; send a larger one to the endpoint's own "
    "address, its endpoint_url, where the gateway's setting body_bytes_max counts."
)
_ANSWER_SECONDS = 300.0
"""A gateway keeps the request's deadline, and answers when it passes; this is for one that is gone."""
_TIMEOUT = httpx.Timeout(_ANSWER_SECONDS, connect=2.0)
_LIMITS = httpx.Limits(max_connections=256, max_keepalive_connections=64)
_RETRY_AFTER_SECONDS = 1
_REQUEST_HEADERS = frozenset({"accept", "content-encoding", "content-type", "traceparent", "tracestate"})
_ANSWER_HEADERS = frozenset({"content-type", "retry-after", "server-timing"})


def open_gateway_client() -> httpx.AsyncClient:
    """The connections to gateways, for the life of an application. Trusts no proxy of the environment."""
    return httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, trust_env=False)


async def invoke(services: Services, request: Request) -> Response:
    """The gateway's status, body, Retry-After and X-* headers; 503 while no gateway is live."""
    name = parse_endpoint_name(request.path_params["name"])
    services.deployments.endpoint(name)
    try:
        body = await read_body(request, body_bytes_max=BODY_BYTES_MAX)
    except BodyTooLarge:
        raise BodyTooLarge(BODY_BYTES_MAX, message=_TOO_LARGE) from None
    client: httpx.AsyncClient = request.app.state.gateway_client
    headers = _passed(request.headers, _REQUEST_HEADERS) | {"accept-encoding": "identity"}
    gateways = services.deployments.gateways()
    first = secrets.randbelow(len(gateways)) if gateways else 0
    for gateway in gateways[first:] + gateways[:first]:
        url = f"{gateway.address.rstrip('/')}/endpoints/{name}/invocations"
        try:
            answer = await client.post(url, content=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            # Nothing was sent, so the next gateway may have it.
            continue
        except httpx.TimeoutException:
            raise DeadlinePassed(_ANSWER_SECONDS) from None
        except httpx.TransportError:
            raise Unavailable("The gateway went away.", retry_after_seconds=_RETRY_AFTER_SECONDS) from None
        return Response(answer.content, answer.status_code, _passed(answer.headers, _ANSWER_HEADERS))
    raise Unavailable("No gateway is connected.", retry_after_seconds=_RETRY_AFTER_SECONDS)


def _passed(headers: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() in names or key.lower().startswith("x-")}
