"""The process of the control plane: build everything, listen, stop without dropping a request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from servery.api.app import create_app
from servery.api.services import Services
from servery.clock import Clock, SystemClock
from servery.config import ControlConfig, prepare_home, refuse_open_address
from servery.db.engine import migrate, open_database
from servery.deployments.service import Deployments
from servery.errors import AddressRefused, HomeUnusable
from servery.registry.artifacts.local import LocalArtifactStore
from servery.registry.service import Registry

STOP_TIMEOUT_SECONDS = 5
"""How long requests may take to end after SIGTERM; a gateway's long poll is asked again by itself."""
CONNECTIONS_MAX = 2_000
LEFTOVERS_GRACE_MS = 24 * 3600 * 1000
"""An upload that nobody has written to for a day has no one left to end it."""


def run_control(config: ControlConfig) -> None:
    """Serve the control plane until SIGTERM or SIGINT.

    Raises:
        AddressRefused: the port is in use, or the address may not be bound.
        HomeUnusable: the home folder or the database cannot be used, or another control plane uses it.
    """
    refuse_open_address(config.host, insecure_no_auth=config.insecure_no_auth)
    prepare_home(config.home)
    listener = listen(config.host, config.port)
    with contextlib.closing(listener), _alone(config.home):
        services = build_services(config, SystemClock())
        app = create_app(services)
        settings = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=STOP_TIMEOUT_SECONDS,
        )
        _Server(settings, services).run(sockets=[listener])


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the home's lock, which ends with the process: two control planes would both decide on rollouts."""
    with (home / "control.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"Another control plane uses the home folder {home}; choose another with --home."
            raise HomeUnusable(message) from None
        yield


def build_services(config: ControlConfig, clock: Clock) -> Services:
    """Open the home folder and everything in it. Raises HomeUnusable."""
    engine = open_database(config.home)
    migrate(engine)
    artifacts = LocalArtifactStore(config.home)
    artifacts.remove_leftovers(older_than_ms=clock.now_ms() - LEFTOVERS_GRACE_MS)
    registry = Registry(engine, artifacts, clock)
    deployments = Deployments(engine, registry, clock, rollout_timeout_seconds=config.rollout_timeout_seconds)
    return Services(registry=registry, deployments=deployments, clock=clock, config=config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises AddressRefused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or "unknown reason"
        raise AddressRefused(f"Cannot listen on {host}:{port}: {reason}; choose another with --port.") from None
    return listener


class _Server(uvicorn.Server):
    """uvicorn, ending with status 0 when it was asked to end: its own would raise the signal again."""

    def __init__(self, settings: uvicorn.Config, services: Services) -> None:
        super().__init__(settings)
        self._services = services

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop, number)
        yield

    def _stop(self, number: int) -> None:
        self._services.deployments.stop_waiting()
        self.handle_exit(number, None)
