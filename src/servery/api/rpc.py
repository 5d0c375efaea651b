"""From a typed function to a handler: decode the request, call, encode what it returns.

A request type is a ``msgspec.Struct``. Its values come from the path, from the query for GET, and from a JSON
object for the rest. Unknown fields are ignored, and a JSON text that was encoded twice is tolerated, since
MLflow's server does both and clients have come to rely on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast, get_origin

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from servery.api.routes import Handler
from servery.api.services import Services
from servery.errors import BodyTooLarge, InvalidInput, MissingInput, UnsupportedMediaType

BODY_BYTES_MAX = 1 << 20
"""The longest JSON body: the longest tag (100,000 characters, escaped) fits several times."""
_JSON = "application/json"

StructT = TypeVar("StructT", bound=msgspec.Struct)


def rpc(kind: type[StructT], action: Callable[[Services, StructT], Any]) -> Handler:
    """A handler that calls ``action`` with a decoded ``kind``.

    A plain function runs in a thread and may block; a coroutine function runs on the loop and may not. What
    it returns is sent as JSON: a Struct, a dict, or None for ``{}``; a Response is sent as it is.
    """
    is_async = inspect.iscoroutinefunction(action)

    async def handle(services: Services, request: Request) -> Response:
        body = decode(kind, await _values(kind, request))
        if is_async:
            result = await cast("Awaitable[Any]", action(services, body))
        else:
            result = await run_in_threadpool(action, services, body)
        return result if isinstance(result, Response) else json_response(result)

    return handle


def json_response(value: Any, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode({} if value is None else value), status_code=status, media_type=_JSON)


async def read_body(request: Request, *, body_bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: it is longer than the limit; no more than the limit is held.
    """
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > body_bytes_max:
            raise BodyTooLarge(body_bytes_max)
        body += chunk
    return bytes(body)


def decode(kind: type[StructT], values: dict[str, Any]) -> StructT:
    """Build ``kind`` from plain JSON values.

    Raises:
        MissingInput: a required field is absent, null or empty.
        InvalidInput: a field has another type.
    """
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        value = values.get(field.encode_name)
        if value is None or (value == "" and field.required):
            if field.required:
                raise MissingInput(field.encode_name)
            continue
        try:
            # Not strict: 64-bit integers are strings in protobuf's JSON, and everything is in a query.
            given[field.name] = msgspec.convert(value, field.type, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidInput(field.encode_name, expected=_expected(str(error)), got=value) from None
    return kind(**given)


async def _values(kind: type[msgspec.Struct], request: Request) -> dict[str, Any]:
    if request.method in {"GET", "HEAD"}:
        values = _query(kind, request)
    else:
        values = _object(await read_body(request), request.headers.get("content-type"))
    return {**values, **request.path_params}


def _query(kind: type[msgspec.Struct], request: Request) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        found = request.query_params.getlist(field.encode_name)
        if found:
            # A list is written as a repeated key; of a repeated single value the last one counts.
            values[field.encode_name] = found if get_origin(field.type) in {list, tuple} else found[-1]
    return values


def _object(body: bytes, content_type: str | None) -> dict[str, Any]:
    if not body:
        return {}
    # A page of another site can post forms and plain text without asking first, but not JSON.
    if (content_type or "").partition(";")[0].strip().lower() != _JSON:
        raise UnsupportedMediaType(content_type, supported=(_JSON,))
    try:
        value = msgspec.json.decode(body)
        if isinstance(value, str):
            value = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInput("body", expected="a JSON object", got="something that is no JSON") from None
    if not isinstance(value, dict):
        raise InvalidInput("body", expected="a JSON object", got=type(value).__name__)
    return value


def _expected(reason: str) -> str:
    """``Expected `str`, got `int` - at `$[0].key``` → ``str at [0].key``: msgspec's reason without what came."""
    wanted, _, rest = reason.partition(", got")
    place = rest.partition("at `$")[2].rstrip("`")
    text = wanted.removeprefix("Expected ").replace("`", "")
    return f"{text} at {place}" if place else text
