"""``servery control``, ``servery gateway``, ``servery serve``: one server process each, in the foreground."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from servery.cli.options import (
    MODEL_URI_HELP,
    EnvManagerOption,
    GatewayPort,
    GrpcPort,
    Home,
    Host,
    InsecureNoAuth,
    Port,
    Server,
    Variables,
    WithParent,
    variables_of,
)
from servery.names import UriKind, parse_model_uri

if TYPE_CHECKING:
    from servery.client.records import ModelVersion

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal to get when the parent ends."""


def add_to(app: typer.Typer) -> None:
    app.command()(control)
    app.command()(gateway)
    app.command()(serve)


def control(
    host: Host = None,
    port: Port = None,
    home: Home = None,
    insecure_no_auth: InsecureNoAuth = False,
    with_parent: WithParent = False,
) -> None:
    """Run the control plane alone."""
    from servery.config import ControlConfig, load_config

    end_with_parent(with_parent)
    flags = {"host": host, "port": port, "home": home, "insecure_no_auth": insecure_no_auth or None}
    config = load_config(ControlConfig, flags)
    check_host(config.host, insecure_no_auth=config.insecure_no_auth)
    from servery.api.server import run_control

    run_control(config)


def gateway(
    host: Host = None,
    gateway_port: GatewayPort = None,
    grpc_port: GrpcPort = None,
    server: Server = None,
    env_manager: EnvManagerOption = None,
    home: Home = None,
    insecure_no_auth: InsecureNoAuth = False,
    with_parent: WithParent = False,
) -> int:
    """Run a gateway alone. It follows a control plane, holds the workers and answers callers."""
    from servery.config import GatewayConfig, load_config

    end_with_parent(with_parent)
    flags = {
        "host": host,
        "gateway_port": gateway_port,
        "grpc_port": grpc_port,
        "server": server,
        "env_manager": env_manager,
        "home": home,
        "insecure_no_auth": insecure_no_auth or None,
    }
    config = load_config(GatewayConfig, flags)
    check_host(config.host, insecure_no_auth=config.insecure_no_auth)
    from servery.serving.server import run_gateway

    return run_gateway(config)


def serve(
    model_uri: Annotated[str, typer.Argument(metavar="MODEL_URI", help=MODEL_URI_HELP)],
    host: Host = None,
    port: Port = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="A port for gRPC; none by default.  [env SERVERY_GRPC_PORT]"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that hold the model.  [env SERVERY_WORKERS; 1]")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a coercion that loses something.  [env SERVERY_STRICT]")
    ] = False,
    env_manager: EnvManagerOption = None,
    env: Variables = None,
    server: Server = None,
    home: Home = None,
    insecure_no_auth: InsecureNoAuth = False,
) -> int:
    """Serve one model at one address. With nothing else around it."""
    from servery.config import ServeConfig, load_config, url_of
    from servery.package.mlmodel import read_mlmodel

    flags = {
        "host": host,
        "port": port,
        "grpc_port": grpc_port,
        "workers": workers,
        "strict": strict or None,
        "env_manager": env_manager,
        "home": home,
        "insecure_no_auth": insecure_no_auth or None,
    }
    config = load_config(ServeConfig, flags)
    check_host(config.host, insecure_no_auth=config.insecure_no_auth)
    folder, version = _package_to_serve(model_uri, server, config.home)
    read_mlmodel(folder)
    from servery.serving.server import run_serve

    name, number = (folder.resolve().name, 1) if version is None else (version.name, version.version)
    address = f"{url_of(config.host, config.port)}/invocations"

    def say_ready() -> None:
        typer.echo(f"Serving {name}/{number} at {address} with {config.workers} worker(s). Stop with Ctrl-C.")

    variables = tuple(sorted(variables_of(env).items()))
    return run_serve(config, Path(folder), model=name, version=number, variables=variables, on_ready=say_ready)


def _package_to_serve(uri: str, server: str | None, home: Path) -> tuple[Path, ModelVersion | None]:
    parsed = parse_model_uri(uri)
    if parsed.kind is UriKind.FOLDER:
        # Nothing is fetched: the start need not wait for the client's imports.
        return Path(parsed.folder or ""), None
    from servery.client.load import local_package

    return local_package(uri, server=server, home=home)


def check_host(host: str, *, insecure_no_auth: bool) -> None:
    """An open address is refused, or, where somebody insists on it, said loudly.

    Raises:
        AddressRefused: ``host`` is no loopback address and nobody insisted.
    """
    from servery.config import LOOPBACK, refuse_open_address

    refuse_open_address(host, insecure_no_auth=insecure_no_auth)
    if host not in LOOPBACK:
        typer.echo(
            f"servery: WARNING: listening on {host} without authentication; anybody who reaches it is let in.", err=True
        )


def end_with_parent(wanted: bool) -> None:
    """Ask the kernel for SIGTERM when the parent ends, however it ends."""
    if not wanted:
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent == 1 or os.getppid() != parent:  # It may have ended before we asked.
        raise typer.Exit(1)
