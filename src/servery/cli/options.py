"""The options that many commands share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from servery.client import Client

Server = Annotated[str | None, typer.Option(help="The server's address.  [env SERVERY_SERVER; http://127.0.0.1:8400]")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Home = Annotated[Path | None, typer.Option(help="The folder that keeps everything.  [env SERVERY_HOME; ~/.servery]")]
Host = Annotated[str | None, typer.Option(help="The address to listen on.  [env SERVERY_HOST; 127.0.0.1]")]
Port = Annotated[int | None, typer.Option("--port", "-p", min=1, max=65535, help="The port.  [env SERVERY_PORT]")]
GatewayPort = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="The gateway's port.  [env SERVERY_GATEWAY_PORT; 8401]"),
]
InsecureNoAuth = Annotated[
    bool, typer.Option("--insecure-no-auth", help="Listen off the loopback address, open to anybody.")
]
AllowIncompatible = Annotated[
    bool, typer.Option("--allow-incompatible", help="Even where callers of what serves cannot call the new version.")
]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]


def connect(server: str | None, home: Path | None = None) -> Client:
    """A client of the server that was named, by the flag, the environment or the settings file in ``home``."""
    from servery.client import Client
    from servery.config import ClientConfig, load_config

    return Client(load_config(ClientConfig, {"server": server, "home": home}).server)
