"""What gateways ask and tell: the next routing table, and how far they are."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from servery.api.routes import Access, Route
from servery.api.rpc import json_response, read_body, rpc
from servery.api.services import Services
from servery.errors import InvalidInput
from servery.routing import decode_report, encode

POLL_SECONDS_MAX = 60.0
"""No poll is held for longer."""
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class _NextTable(msgspec.Struct):
    after: int = 0
    timeout_seconds: float = 0.0


class _Nothing(msgspec.Struct):
    pass


async def _routing_table(services: Services, body: _NextTable) -> Response:
    """The newest table at once when its number is above ``after``, else as soon as there is one; 204 in the end."""
    timeout_seconds = min(max(body.timeout_seconds, 0.0), POLL_SECONDS_MAX)
    table = await services.deployments.next_table(body.after, timeout_seconds=timeout_seconds)
    return Response(status_code=204) if table is None else Response(encode(table), media_type="application/json")


async def _report(services: Services, request: Request) -> Response:
    name = request.path_params["gateway"]
    try:
        report = decode_report(await read_body(request))
    except msgspec.DecodeError as error:
        raise InvalidInput("body", expected="a gateway's report", got=str(error)) from None
    if report.gateway != parse_gateway_name(name):
        raise InvalidInput("gateway", expected="the name in the path", got=report.gateway)
    _check_address(report.address)
    services.deployments.report(report)
    return json_response(None)


async def _gateways(services: Services, _body: _Nothing) -> dict[str, Any]:
    return {
        "gateways": [
            {
                "gateway": gateway.name,
                "address": gateway.address,
                "table_number": gateway.table_number,
                "pools": list((gateway.pools or {}).values()),
            }
            for gateway in services.deployments.gateways()
        ]
    }


def parse_gateway_name(text: str) -> str:
    """Raises InvalidInput."""
    if not _NAME.fullmatch(text):
        raise InvalidInput("gateway", expected="1 to 128 letters, digits, '_', '.', ':' or '-'", got=text)
    return text


def _check_address(address: str) -> None:
    """Requests are forwarded there: an origin and nothing else."""
    try:
        parts = urlsplit(address)
        is_origin = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
        bare = is_origin and parts.port != 0 and parts.path in {"", "/"} and not (parts.query or parts.fragment)
    except ValueError:
        bare = False
    if not bare:
        raise InvalidInput("address", expected="an address such as http://127.0.0.1:8401", got=address)


ROUTES = (
    Route("GET", "/api/2.0/servery/routing-table", rpc(_NextTable, _routing_table), Access.GATEWAY),
    Route("PUT", "/api/2.0/servery/gateways/{gateway}", _report, Access.GATEWAY),
    Route("GET", "/api/2.0/servery/gateways", rpc(_Nothing, _gateways), Access.VIEW),
)
