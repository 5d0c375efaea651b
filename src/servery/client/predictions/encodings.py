"""From Python data to a request's body, in the fastest form that the data has and the server is not known to refuse.

Frames and Arrow data travel as Arrow where this Python has pyarrow, arrays of numbers as binary tensors, everything
else, and everything to an older server, as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from servery.client.predictions.tables import ARROW, encode_table, has_pyarrow, is_arrow, is_frame, table_of
from servery.client.predictions.tensors import HEAD_LENGTH, arrays_in, encode_arrays, params_fit
from servery.client.scoring import encode_request

_JSON = "application/json"


class Encoding(Enum):
    """How data travels."""

    ARROW = "arrow"
    """An Arrow IPC stream to ``/invocations``; so is the answer."""
    TENSORS = "tensors"
    """The Open Inference Protocol's binary tensors, to its own path; so is the answer."""
    JSON = "json"
    """To ``/invocations``: every server takes it."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body with the headers that say what it is, and what the answer may be."""

    encoding: Encoding
    content: bytes
    headers: Mapping[str, str]


Encode = Callable[[frozenset[Encoding]], Body]
"""Makes the body of a request, in none of the encodings that the server has refused."""


def encoder_of(data: Any, params: Mapping[str, Any] | None) -> Encode:
    """How ``data`` is written. Raises InvalidInput where it has no form: now, or when the encoder is called."""
    makers: dict[Encoding, Callable[[], Body]] = {}
    if is_arrow(data):
        table = table_of(data)
        makers[Encoding.ARROW] = lambda: _arrow(table, params)
        makers[Encoding.JSON] = lambda: _json(table.to_pandas(), params)
        return _once_each(makers)
    if is_frame(data) and has_pyarrow():
        makers[Encoding.ARROW] = lambda: _arrow(data, params)
    arrays = arrays_in(data)
    if arrays is not None and params_fit(params):
        makers[Encoding.TENSORS] = lambda: _tensors(arrays, params)
    makers[Encoding.JSON] = lambda: _json(data, params)
    return _once_each(makers)


def events_encoder_of(data: Any, params: Mapping[str, Any] | None) -> Encode:
    """The body of a request whose answer is wanted in parts."""
    given = table_of(data).to_pandas() if is_arrow(data) else data
    return lambda _refused: _json(given, params, accept="text/event-stream")


def ready(content: bytes, content_type: str) -> Encode:
    """A body that the caller made."""
    body = Body(Encoding.JSON, content, {"Content-Type": content_type, "Accept": _JSON})
    return lambda _refused: body


def _once_each(makers: Mapping[Encoding, Callable[[], Body]]) -> Encode:
    """The first that is not refused, made once however often it is sent."""
    made: dict[Encoding, Body] = {}

    def encode(refused: frozenset[Encoding]) -> Body:
        encoding = next(one for one in makers if one not in refused or one is Encoding.JSON)
        if encoding not in made:
            made[encoding] = makers[encoding]()
        return made[encoding]

    return encode


def _arrow(data: Any, params: Mapping[str, Any] | None) -> Body:
    """An Arrow body has no place for params: with some, only the answer is Arrow."""
    accept = f"{ARROW}, {_JSON};q=0.5"
    if params is not None:
        plain = data if is_frame(data) else data.to_pandas()
        return Body(Encoding.ARROW, encode_request(plain, params), {"Content-Type": _JSON, "Accept": accept})
    return Body(Encoding.ARROW, encode_table(table_of(data)), {"Content-Type": ARROW, "Accept": accept})


def _tensors(arrays: Mapping[str, Any], params: Mapping[str, Any] | None) -> Body:
    content, head_length = encode_arrays(arrays, params)
    headers = {"Content-Type": "application/octet-stream", "Accept": "*/*", HEAD_LENGTH: str(head_length)}
    return Body(Encoding.TENSORS, content, headers)


def _json(data: Any, params: Mapping[str, Any] | None, *, accept: str = _JSON) -> Body:
    return Body(Encoding.JSON, encode_request(data, params), {"Content-Type": _JSON, "Accept": accept})
