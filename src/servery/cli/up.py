"""``servery up``: control plane and gateway on this machine, kept alive by one parent process."""

from __future__ import annotations

import typer

from servery.cli.options import EnvManagerOption, GatewayPort, Home, Host, InsecureNoAuth, Port, WithParent


def add_to(app: typer.Typer) -> None:
    app.command()(up)


def up(
    host: Host = None,
    port: Port = None,
    gateway_port: GatewayPort = None,
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
    gateway = load_config(
        GatewayConfig, {**shared, "gateway_port": gateway_port, "server": server, "env_manager": env_manager}
    )
    ports = ((control.port, "--port"), (gateway.gateway_port, "--gateway-port"))
    check_host(control.host, insecure_no_auth=control.insecure_no_auth)
    prepare_home(control.home)
    if control.port == gateway.gateway_port:
        expected = "another port than the control plane's --port"
        raise InvalidInput("--gateway-port", expected=expected, got=str(gateway.gateway_port))
    for number, flag in ports:
        check_port(control.host, number, flag)
    common = ["--home", str(control.home), "--host", control.host]
    common += ["--insecure-no-auth"] if control.insecure_no_auth else []
    address = url_of(gateway.host, gateway.gateway_port)
    follow = ["--server", server, "--gateway-port", str(gateway.gateway_port)]
    follow += ["--env-manager", gateway.env_manager.value]
    children = (
        Child("control plane", ["control", *common, "--port", str(control.port)], f"{server}/health"),
        Child("gateway", ["gateway", *common, *follow], f"{address}/livez"),
    )
    supervisor = Supervisor(children, lambda line: typer.echo(f"servery: {line}", err=True))
    asyncio.run(supervisor.run(lambda: _welcome(server, address, str(control.home))))


def _welcome(server: str, gateway: str, home: str) -> None:
    from rich.panel import Panel

    from servery.cli.output import console

    lines = (
        f"Control plane  {server}",
        f"Gateway        {gateway}",
        f"Home           {home}",
        "",
        "Register   servery register PATH --name spam --alias champion",
        "Deploy     servery deploy spam models:/spam@champion",
        "Ask        servery predict spam '[\"You won a prize\"]'",
        "Stop       Ctrl-C",
    )
    console().print(Panel("\n".join(lines), title="Servery is up", title_align="left", expand=False))
