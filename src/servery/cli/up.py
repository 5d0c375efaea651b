"""``servery up``: control plane and gateway on this machine, kept alive by one parent process."""

from __future__ import annotations

from pathlib import Path

import typer

from servery.cli.options import EnvManagerOption, GatewayPort, GrpcPort, Home, Host, InsecureNoAuth, Port, WithParent


def add_to(app: typer.Typer) -> None:
    app.command()(up)


def up(
    host: Host = None,
    port: Port = None,
    gateway_port: GatewayPort = None,
    grpc_port: GrpcPort = None,
    env_manager: EnvManagerOption = None,
    home: Home = None,
    insecure_no_auth: InsecureNoAuth = False,
    with_parent: WithParent = False,
) -> None:
    """Run control plane and gateway together. Until Ctrl-C."""
    import asyncio

    from servery.cli.addresses import check_port
    from servery.cli.processes import check_host, end_with_parent
    from servery.cli.supervisor import Child, Supervisor
    from servery.config import ControlConfig, GatewayConfig, load_config, prepare_home, url_of
    from servery.errors import InvalidInput

    end_with_parent(with_parent)
    shared = {"host": host, "home": home, "insecure_no_auth": insecure_no_auth or None}
    control = load_config(ControlConfig, {**shared, "port": port})
    server = url_of(control.host, control.port)
    flags = {"gateway_port": gateway_port, "grpc_port": grpc_port, "server": server, "env_manager": env_manager}
    gateway = load_config(GatewayConfig, {**shared, **flags})
    ports = {"--port": control.port, "--gateway-port": gateway.gateway_port}
    ports |= {"--grpc-port": gateway.grpc_port} if gateway.grpc_port else {}
    check_host(control.host, insecure_no_auth=control.insecure_no_auth)
    prepare_home(control.home)
    for flag, number in ports.items():
        other = next(one for one in ports if ports[one] == number)
        if other != flag:
            raise InvalidInput(flag, expected=f"another port than {other}", got=str(number))
        check_port(control.host, number, flag)
    common = ["--home", str(control.home), "--host", control.host]
    common += ["--insecure-no-auth"] if control.insecure_no_auth else []
    address = url_of(gateway.host, gateway.gateway_port)
    follow = ["--server", server, "--gateway-port", str(gateway.gateway_port)]
    follow += ["--grpc-port", str(gateway.grpc_port), "--env-manager", gateway.env_manager.value]
    children = (
        Child("control plane", ["control", *common, "--port", str(control.port)], f"{server}/health"),
        Child("gateway", ["gateway", *common, *follow], f"{address}/livez"),
    )
    supervisor = Supervisor(children, lambda line: typer.echo(f"servery: {line}", err=True))
    asyncio.run(supervisor.run(lambda: _welcome(server, address, gateway.grpc_port, control.home)))


def _welcome(server: str, gateway: str, grpc_port: int, home: Path) -> None:
    from rich.panel import Panel

    from servery.cli.output import console

    lines = (
        f"Control plane  {server}",
        f"Gateway        {gateway}" + (f", gRPC on port {grpc_port}" if grpc_port else ""),
        f"Home           {home}",
        "",
        "Register   servery register PATH --name spam --alias champion",
        "Deploy     servery deploy spam models:/spam@champion",
        "Ask        servery predict spam '[\"You won a prize\"]'",
        "Stop       Ctrl-C",
    )
    console().print(Panel("\n".join(lines), title="Servery is up", title_align="left", expand=False))
