"""A control plane in this process, on a real port, and gateways that follow it by HTTP but load nothing."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn

from servery.api.app import create_app
from servery.api.server import listen
from servery.api.services import Services
from servery.clock import SystemClock
from servery.config import ControlConfig
from servery.db.engine import migrate, open_database
from servery.deployments.config import Versions
from servery.deployments.service import Deployments
from servery.names import EndpointName
from servery.registry.service import Registry
from servery.routing import PoolKey, decode_table, encode, specs_by_key
from servery.testing.fake_gateway import FakeGateway
from tests.servers import wait_until


@contextlib.contextmanager
def control_plane(home: Path, versions: Versions) -> Iterator[str]:
    """Serve endpoints of these versions; gives the address. There is no registry behind it."""
    engine = open_database(home)
    migrate(engine)
    clock = SystemClock()
    services = Services(
        registry=cast("Registry", versions),
        deployments=Deployments(engine, versions, clock),
        clock=clock,
        config=ControlConfig(home=home),
    )
    listener = listen("127.0.0.1", 0)
    settings = uvicorn.Config(create_app(services), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, "the control plane listens")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
        engine.dispose()


class HttpGateway:
    """A FakeGateway in a thread: it polls for tables, reports, and answers ``{"predictions": ["spam/3"]}``."""

    def __init__(self, name: str, control: str, *, bad: frozenset[PoolKey] = frozenset()) -> None:
        self.bad = bad
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.gateway = FakeGateway(name, address=f"http://127.0.0.1:{self._server.server_address[1]}")
        self._base = f"{control}/api/2.0/servery"
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._server.serve_forever), threading.Thread(target=self._follow)]

    def __enter__(self) -> HttpGateway:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join(timeout=20)
        self._server.server_close()

    def _follow(self) -> None:
        with httpx.Client(timeout=10) as client:
            while not self._stopping.is_set():
                client.put(f"{self._base}/gateways/{self.gateway.name}", content=encode(self.gateway.report()))
                query = {"after": self.gateway.table.number, "timeout_seconds": 0.5}
                answer = client.get(f"{self._base}/routing-table", params=query)
                if answer.status_code == 200:
                    self.gateway.apply(decode_table(answer.content))
                for pool in self.gateway.loading():
                    self.gateway.load(pool, failing="it has no weights." if pool in self.bad else None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                route = outer.gateway.routes.get(EndpointName(self.path.split("/")[2]))
                if route is None:
                    self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such endpoint"}, {})
                    return
                label = specs_by_key(outer.gateway.table.pools)[route.shares[0].pool].label
                if b"overload" in body:
                    self._answer(429, {"message": "too much"}, {"Retry-After": "7", "X-Model-Version": label})
                    return
                self._answer(200, {"predictions": [label]}, {"X-Model-Version": label, "X-Request-Id": "from-gateway"})

            def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                for key, value in {**headers, "Content-Type": "application/json"}.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        return Handler
