"""The pages that tell what an endpoint is, by path: its OpenAPI document, and what is shown to people.

Each is made when it is first asked for, and again when what it tells has changed; no page asks a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote

from servery.errors import NotFound
from servery.serving.dialects.dialect import JSON, Reply
from servery.serving.gateway import Gateway
from servery.serving.negotiation import weighted
from servery.serving.pages.endpoint import Endpoint, endpoint_of
from servery_worker.codecs.json_text import dump_json

_PREFIX, _DOCUMENT = b"/endpoints/", b"/openapi.json"
_HEADERS = b"Vary: Accept\r\nCache-Control: no-cache\r\n"


class Kind(Enum):
    DOCUMENT = "document"
    SUMMARY = "summary"
    PAGE = "page"


class _Made(NamedTuple):
    endpoint: Endpoint
    reply: Reply


class EndpointPages:
    """The pages of a gateway's endpoints; ``sole`` is the one that ``/`` and ``/openapi.json`` tell of."""

    def __init__(self, gateway: Gateway, sole: str | None) -> None:
        self._gateway = gateway
        self._sole = sole
        self._made: dict[tuple[str, Kind], _Made] = {}

    def find(self, path: bytes, head: Mapping[bytes, bytes]) -> Callable[[], Reply] | None:
        """What makes the page at ``path``; None where none of an endpoint's is.

        Raises:
            NotFound: the path is an endpoint's, and there is no such endpoint.
        """
        name = self._name(path.removesuffix(_DOCUMENT))
        if name is None:
            return None
        if name not in self._gateway.targets:
            raise NotFound("Endpoint", name[:100])
        if path.endswith(_DOCUMENT):
            return partial(self._page, name, Kind.DOCUMENT)
        return partial(self._page, name, Kind.PAGE if prefers_html(head.get(b"accept", b"")) else Kind.SUMMARY)

    def _name(self, path: bytes) -> str | None:
        if path in {b"", b"/"}:
            return self._sole
        name = path.removeprefix(_PREFIX)
        if name == path or b"/" in name or not name:
            return None
        return unquote(name.decode("latin-1"))

    def _page(self, name: str, kind: Kind) -> Reply:
        endpoint = endpoint_of(self._gateway.targets[name], self._gateway.descriptions, is_sole=name == self._sole)
        made = self._made.get((name, kind))
        if made is None or made.endpoint != endpoint:
            self._made = {key: one for key, one in self._made.items() if key[0] in self._gateway.targets}
            made = self._made[name, kind] = _Made(endpoint, _reply(endpoint, kind))
        return made.reply


def prefers_html(accept: bytes) -> bool:
    """Whether a caller names HTML, and JSON no more than it: a browser does, a client that says nothing gets JSON."""
    weights = dict(weighted(accept))
    return weights.get(b"text/html", 0.0) > 0 and weights[b"text/html"] >= weights.get(JSON, 0.0)


def _reply(endpoint: Endpoint, kind: Kind) -> Reply:
    # Imported here: a start need not wait for what only a reader uses.
    from servery.serving.pages.openapi import document
    from servery.serving.pages.page import page, page_headers
    from servery.serving.pages.summary import summary

    if kind is Kind.PAGE:
        return Reply(200, page(endpoint), b"text/html; charset=utf-8", _HEADERS + page_headers())
    told = document(endpoint) if kind is Kind.DOCUMENT else summary(endpoint)
    return Reply(200, dump_json(told), JSON, _HEADERS)
