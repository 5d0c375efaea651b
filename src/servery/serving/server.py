"""The gateway's process: build everything from the config, listen, serve until told to stop, drain."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import uvloop

from servery.clock import SystemClock
from servery.config import (
    GatewayConfig,
    ServeConfig,
    package_sources,
    prepare_home,
    refuse_open_address,
    set_up_grpc,
    url_of,
)
from servery.errors import AddressRefused, HomeUnusable, LoadFailed
from servery.names import EndpointName, ModelName, Version
from servery.observability.logs import set_up_logs
from servery.package.seal import checked_manifest
from servery.routing import PoolSpec, PoolState, Route, RoutingTable, Share, Variables, pool_key
from servery.serving.batcher import QueueLimits
from servery.serving.folder_package import FolderPackage
from servery.serving.gateway import Gateway, Packages
from servery.serving.http import HttpProtocol
from servery.serving.site import Site
from servery.workers.environments.store import environments_of
from servery.workers.pool import PoolSettings

if TYPE_CHECKING:
    from servery.serving.grpc.server import GrpcServer

SWEEP_SECONDS = 0.025
"""How late a 504 may be."""
LOG_SECONDS = 5.0
"""How often the workers' logs are looked at: a model may print megabytes a second."""
_LINGER_SECONDS = 1.0
"""How long a drain lets idle connections ask once more, so that they learn of it by an answer and not by a reset."""
_BACKLOG = 2048

log = logging.getLogger(__name__)


def run_gateway(config: GatewayConfig) -> int:
    """Follow a control plane until SIGTERM or SIGINT; the exit status.

    Raises:
        AddressRefused, HomeUnusable: before anything is started.
    """
    refuse_open_address(config.host, insecure_no_auth=config.insecure_no_auth)
    set_up_logs()
    folder = _prepare(config.home)
    with _only_gateway(folder), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_gateway(config, folder))


def run_serve(
    config: ServeConfig,
    folder: Path,
    *,
    model: str,
    version: int,
    variables: Variables = (),
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Serve one package, without a control plane, until SIGTERM or SIGINT; the exit status.

    ``variables`` are given to its workers; ``on_ready`` is called once, when the model is loaded and proved.

    Raises:
        AddressRefused, HomeUnusable, PackageInvalid: before anything is started.
        LoadFailed: the model did not load.
    """
    refuse_open_address(config.host, insecure_no_auth=config.insecure_no_auth)
    set_up_logs()
    _prepare(config.home)
    manifest = checked_manifest(folder)
    key = pool_key(ModelName(model), Version(version), manifest.digest, variables)
    spec = PoolSpec(key, ModelName(model), Version(version), manifest.digest, config.workers, variables)
    table = RoutingTable(1, (spec,), (Route(EndpointName(model), (Share(key, 100),), config.strict),))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve_table(config, FolderPackage(folder, manifest), table, on_ready))


async def _gateway(config: GatewayConfig, folder: Path) -> int:
    # Imported here: they bring an HTTP client, a fifth of a second that ``servery serve`` has no use for.
    from servery.serving.follower import Follower, TableFile
    from servery.serving.packages import FetchedPackages

    packages = FetchedPackages(folder / "packages", config.server)
    copy = TableFile(folder / "routing.json")
    packages.keep_only(copy.read())
    gateway = _make_gateway(config, packages)
    site = _make_site(config, gateway)
    listener = _bind(config.host, config.gateway_port, flag="--gateway-port")
    address = url_of(config.host, config.gateway_port)
    name = f"{socket.gethostname()}-{config.gateway_port}"
    grpc_server = await _open_grpc(config, site, gateway)
    follower = Follower(gateway, copy, server=config.server, name=name, address=address)
    await follower.start()
    return await _run(site, gateway, (listener, grpc_server), config, follower.follow(), follower.report())


async def _serve_table(
    config: ServeConfig, packages: Packages, table: RoutingTable, on_ready: Callable[[], None]
) -> int:
    gateway = _make_gateway(config, packages)
    site = _make_site(config, gateway, sole=table.routes[0].endpoint)
    listener = _bind(config.host, config.port, flag="--port")
    grpc_server = await _open_grpc(config, site, gateway)
    gateway.apply(table)
    return await _run(site, gateway, (listener, grpc_server), config, _watch_first_load(gateway, on_ready))


async def _watch_first_load(gateway: Gateway, on_ready: Callable[[], None]) -> None:
    """Raises LoadFailed where the only model does not load: there is nothing to go on for."""
    changed = asyncio.Event()
    gateway.on_change = changed.set
    while not gateway.ready:
        for served in gateway.served:
            if served.pool.state is PoolState.FAILED:
                raise LoadFailed(served.pool.spec.label, served.pool.cause or "no cause was given")
        changed.clear()
        await changed.wait()
    on_ready()
    gateway.on_change = lambda: None
    await asyncio.Event().wait()


def _prepare(home: Path) -> Path:
    """The gateway's folder in a home that can be written."""
    folder = prepare_home(home) / "gateway"
    for path in (folder, folder / "packages", folder / "logs"):
        path.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextlib.contextmanager
def _only_gateway(folder: Path) -> Iterator[None]:
    """The folder is one gateway's: another would take its routing table and remove its packages.

    The lock ends with the process, however that ends.

    Raises:
        HomeUnusable: another gateway has it.
    """
    with (folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            home = folder.parent
            raise HomeUnusable(f"Another gateway uses the home folder {home}; choose another with --home.") from None
        yield


def _make_gateway(config: GatewayConfig | ServeConfig, packages: Packages) -> Gateway:
    pools = PoolSettings(
        variables=config.worker_variables,
        logs=config.home / "gateway" / "logs",
        load_timeout_seconds=config.load_timeout_seconds,
        drain_timeout_seconds=config.drain_timeout_seconds,
        # The drop-in serves what MLflow serves; a deployment replaces nothing by a model that fails on its example.
        must_answer=isinstance(config, GatewayConfig),
    )
    clock = SystemClock()
    environments = environments_of(config, package_sources(), clock)
    limits = QueueLimits(config.queue_requests_max, config.queue_bytes_max, config.streams_max)
    return Gateway(packages, environments, pools, limits, clock, Random())  # noqa: S311 - a traffic split is no secret


def _make_site(config: GatewayConfig | ServeConfig, gateway: Gateway, sole: str | None = None) -> Site:
    return Site(
        gateway,
        SystemClock(),
        body_bytes_max=config.body_bytes_max,
        request_timeout_seconds=config.request_timeout_seconds,
        stream_timeout_seconds=config.stream_timeout_seconds,
        request_id_prefix=secrets.token_hex(6),
        spool_folder=config.home / "gateway",
        sole=sole,
    )


def _bind(host: str, port: int, *, flag: str) -> socket.socket:
    """A listening socket.

    Raises:
        AddressRefused: the port is in use, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressRefused(f"Port {port} on {host} is in use; choose another with {flag}.") from None
        raise AddressRefused(f"Cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}.") from None
    return listener


async def _open_grpc(config: GatewayConfig | ServeConfig, site: Site, gateway: Gateway) -> GrpcServer | None:
    if not config.grpc_port:
        return None
    set_up_grpc()
    # Imported here: without gRPC, a start need not wait for it.
    from servery.serving.grpc.server import open_server

    return await open_server(site, gateway, host=config.host, port=config.grpc_port)


async def _run(
    site: Site,
    gateway: Gateway,
    listeners: tuple[socket.socket, GrpcServer | None],
    config: GatewayConfig | ServeConfig,
    *loops: Coroutine[Any, Any, None],
) -> int:
    """Serve until a signal; a loop that ends by itself is a fault, and ends the process with its error."""
    loop = asyncio.get_running_loop()
    listener, grpc_server = listeners
    server = await loop.create_server(lambda: HttpProtocol(site), sock=listener, backlog=_BACKLOG)
    stop, force = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (force if stop.is_set() else stop).set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, signalled)
    running = [_tick(site), _cap_logs(gateway), _sweep(gateway, config.request_timeout_seconds), *loops]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in running]
    stopped = asyncio.ensure_future(_wait(stop))
    log.info("listening on %s:%s", *listener.getsockname()[:2])
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    failed = [task for task in tasks if task.done()]
    server.close()
    await _end(site, gateway, grpc_server, force, config.drain_timeout_seconds)
    for task in (*tasks, stopped):
        task.cancel()
    await asyncio.wait([*tasks, stopped])
    for task in failed:
        task.result()
    return 1 if failed else 0


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _tick(site: Site) -> None:
    while True:
        await asyncio.sleep(1)
        site.tick()


async def _cap_logs(gateway: Gateway) -> None:
    while True:
        gateway.cap_logs()
        await asyncio.sleep(LOG_SECONDS)


async def _sweep(gateway: Gateway, busy_seconds_max: float) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        gateway.sweep(busy_seconds_max)


async def _end(
    site: Site, gateway: Gateway, grpc_server: GrpcServer | None, force: asyncio.Event, timeout_seconds: float
) -> None:
    """Drain; when that takes too long, or somebody insists, end at once."""
    draining = asyncio.ensure_future(_drain(site, gateway, grpc_server, timeout_seconds))
    forced = asyncio.ensure_future(_wait(force))
    await asyncio.wait([draining, forced], timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        log.warning("ended before all was answered: %d requests are lost", await gateway.abort())
    for task in (draining, forced):
        task.cancel()
    await asyncio.wait([draining, forced])


async def _drain(site: Site, gateway: Gateway, grpc_server: GrpcServer | None, timeout_seconds: float) -> None:
    """Let every connection have its answers; each ends with the next one, or when it has been idle for a moment."""
    site.draining = True
    log.info("draining %d connections", len(site.connections))
    await asyncio.sleep(_LINGER_SECONDS if site.connections else 0)
    closing = asyncio.ensure_future(grpc_server.close(timeout_seconds)) if grpc_server is not None else None
    while site.connections:
        for connection in tuple(site.connections):
            connection.close_when_idle()
        await asyncio.sleep(SWEEP_SECONDS)
    if closing is not None:
        await closing
    await gateway.close()
