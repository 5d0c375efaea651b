"""What a gateway's address offers: endpoints and pages by path, and what all of its connections share."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote

import orjson

from servery.clock import Clock
from servery.errors import NotFound
from servery.serving.dialects import generate, openai
from servery.serving.dialects.dialect import Dialect, Operation, Refusal, Reply, method_not_allowed
from servery.serving.dialects.mlflow import MlflowDialect
from servery.serving.dialects.oip import OipDialect
from servery.serving.gateway import Gateway
from servery.serving.oip_pages import OipPages
from servery.serving.pages.pages import EndpointPages
from servery.serving.targets import Target
from servery.version import __version__

_MLFLOW = MlflowDialect()
_OIP = OipDialect()
_THREADS = 2
"""Large bodies that are coded at a time; the others wait, as their requests' deadlines have it."""
_T = TypeVar("_T")


class Connection(Protocol):
    """A protocol's connection, seen from the site. No method may raise or wait."""

    def check(self, second: int) -> None:
        """A second has passed: end what is too slow."""

    def close_when_idle(self) -> None:
        """End the connection unless a request is under way on it."""


class Site:
    """One listening gateway. ``sole`` names the endpoint that ``/invocations`` calls, where there is only one."""

    def __init__(
        self,
        gateway: Gateway,
        clock: Clock,
        *,
        body_bytes_max: int,
        request_timeout_seconds: float,
        stream_timeout_seconds: float = 600.0,
        request_id_prefix: str,
        spool_folder: Path,
        sole: str | None = None,
    ) -> None:
        self.clock = clock
        self.body_bytes_max = body_bytes_max
        self.request_timeout_seconds = request_timeout_seconds
        self.stream_timeout_seconds = stream_timeout_seconds
        self.connections: set[Connection] = set()
        self.numbers = itertools.count(1)
        self.draining = False
        self.second = 0
        """Whole seconds since the start: coarse, and free to read on the hot path."""
        self.date = b""
        self.spool_folder = spool_folder
        """Where answers wait on disk for callers that read them later."""
        self._gateway = gateway
        self._sole = sole
        self._endpoint_pages = EndpointPages(gateway, sole)
        self._request_id_prefix = request_id_prefix
        self._others: Counter[int] = Counter()
        self._threads = ThreadPoolExecutor(_THREADS, "coding")
        self._operations: dict[bytes, Operation] = {}
        self._operations_of: dict[str, Target] | None = None
        self._pages: dict[bytes, Callable[[], Reply]] = {
            b"/ping": self._ready,
            b"/health": self._ready,
            b"/readyz": self._ready,
            b"/livez": lambda: Reply(200, b"\n"),
            b"/version": lambda: Reply(200, __version__.encode()),
            b"/metrics": self._metrics,
        }
        self.oip = OipPages(gateway, clock, lambda: gateway.ready and not self.draining)
        self.tick()

    def operation(self, path: bytes, method: bytes = b"POST", body: Sequence[bytes] = ()) -> Operation | None:
        """What a path asks for, as things stand now; None where it calls no endpoint. ``body`` is looked at where the
        path alone does not say which.

        Raises:
            NotFound: the path is an endpoint's, and there is no such endpoint.
            Refusal: the body does not say which, or there is none.
        """
        if self._operations_of is not self._gateway.targets:
            self._index(self._gateway.targets)
        operation = self._operations.get(path)
        if operation is None and path.startswith(openai.PREFIX):
            return openai.operation_of(path, method, body, self._gateway.targets)
        if operation is None and generate.is_path(path):
            raise NotFound("Model", generate.model_of(path))
        if operation is None and path.startswith(b"/endpoints/") and path.endswith(b"/invocations"):
            name = unquote(path.removeprefix(b"/endpoints/").removesuffix(b"/invocations").decode("latin-1"))
            raise NotFound("Endpoint", name[:100])
        if operation is None and path.startswith(b"/v2/models/") and path.endswith(b"/infer"):
            # Written otherwise than we quote it, perhaps: then the path as we would have written it is known.
            operation = self._operations.get(quote(unquote(path.decode("latin-1"))).encode())
            if operation is None:
                raise self.oip.unknown(path)
        return operation

    def dialect(self, path: bytes) -> Dialect:
        """What is spoken at a path, whether or not it calls anything."""
        if path.startswith(openai.PREFIX):
            return openai.DIALECT
        if generate.is_path(path):
            return generate.DIALECT
        return _OIP if _is_oip(path) else _MLFLOW

    def page(self, method: bytes, path: bytes, head: Mapping[bytes, bytes], body: Sequence[bytes]) -> Reply:
        """What needs no worker: a probe, the metrics, what an endpoint is, what is told of models.

        Raises:
            Refusal, ServeryError: there is nothing at the path, or not for this method, or not now.
        """
        models = openai.page(method, path, self._gateway.targets)
        if models is not None:
            return models
        if _is_oip(path):
            return self.oip.page(method, path, body)
        make = self._pages.get(path) or self._endpoint_pages.find(path, head)
        if make is None:
            where = path.decode("latin-1")[:200]
            raise Refusal(HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", f"There is nothing at {where}.")
        if method not in {b"GET", b"HEAD"}:
            raise method_not_allowed(method, b"GET, HEAD")
        return make()

    def count_other(self, status: int) -> None:
        """Count an answer that no version was asked for."""
        self._others[status] += 1

    def new_request_id(self) -> bytes:
        return f"{self._request_id_prefix}-{next(self.numbers):x}".encode()

    def in_thread(self, work: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        """What would keep the event loop from its other callers for too long."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def tick(self) -> None:
        """Called every second."""
        self.second += 1
        self.date = formatdate(self.clock.now_ms() / 1000, usegmt=True).encode()
        for connection in tuple(self.connections):
            connection.check(self.second)

    def _index(self, targets: dict[str, Target]) -> None:
        self._operations_of = targets
        self._operations = {
            f"/endpoints/{quote(name)}/invocations".encode(): Operation(_MLFLOW, target, streaming=_MLFLOW)
            for name, target in targets.items()
        }
        for name, target in targets.items():
            model = f"/v2/models/{quote(name)}"
            self._operations[f"{model}/infer".encode()] = Operation(_OIP, target)
            for choice in reversed(target.choices):  # Of two models' versions of one number, the first is meant.
                path = f"{model}/versions/{choice.served.pool.spec.version}/infer"
                self._operations[path.encode()] = Operation(_OIP, target, choice)
            self._operations |= generate.operations(name, target)
        if self._sole is not None and self._sole in targets:
            self._operations[b"/invocations"] = Operation(_MLFLOW, targets[self._sole], streaming=_MLFLOW)

    def _metrics(self) -> Reply:
        # Imported here: a start need not wait for what only a scrape uses.
        from servery.serving.metrics import CONTENT_TYPE, exposition

        return Reply(200, exposition(self._gateway, self._others), CONTENT_TYPE)

    def _ready(self) -> Reply:
        if self._gateway.ready and not self.draining:
            return Reply(200, b"\n")
        return Reply(503, orjson.dumps({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Not ready."}))


def _is_oip(path: bytes) -> bool:
    return path.startswith(b"/v2") and path[3:4] in {b"", b"/", b"?"}
