"""The options that many commands share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from servery.config import EnvManager
from servery.errors import InvalidInput

if TYPE_CHECKING:
    from servery.client import Client

MODEL_URI_HELP = (
    "A folder, models:/NAME/VERSION, models:/NAME@ALIAS, runs:/RUN/PATH, models:/m-ID, mlflow-artifacts:/PATH, "
    "s3://BUCKET/PATH, gs://…, az://… or file://…"
)
Server = Annotated[str | None, typer.Option(help="The server's address.  [env SERVERY_SERVER; http://127.0.0.1:8400]")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Home = Annotated[Path | None, typer.Option(help="The folder that keeps everything.  [env SERVERY_HOME; ~/.servery]")]
Host = Annotated[str | None, typer.Option(help="The address to listen on.  [env SERVERY_HOST; 127.0.0.1]")]
Port = Annotated[int | None, typer.Option("--port", "-p", min=1, max=65535, help="The port.  [env SERVERY_PORT]")]
GatewayPort = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="The gateway's port.  [env SERVERY_GATEWAY_PORT; 8401]"),
]
GrpcPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="The gateway's port for gRPC; 0 for none.  [env SERVERY_GRPC_PORT; 8402]"),
]
InsecureNoAuth = Annotated[
    bool, typer.Option("--insecure-no-auth", help="Listen off the loopback address, open to anybody.")
]
EnvManagerOption = Annotated[
    EnvManager | None,
    typer.Option(
        "--env-manager",
        help="The workers' Python environment: this one (local), one of the model's own (uv), or whichever will do.  "
        "[env SERVERY_ENV_MANAGER; auto]",
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="KEY=VALUE", help="An environment variable of the workers; may be repeated."),
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


def variables_of(texts: list[str] | None) -> dict[str, str]:
    """``KEY=VALUE`` each. Raises InvalidInput, which shows no value."""
    pairs = [text.partition("=") for text in texts or ()]
    for name, separator, _ in pairs:
        if not name or not separator:
            raise InvalidInput("--env", expected="KEY=VALUE", got=name or "no key")
    return {name: value for name, _, value in pairs}
