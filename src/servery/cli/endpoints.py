"""``servery deploy``, ``servery endpoints …``, ``servery rollback``: which version answers at which address."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from servery.cli.check import CheckOption, check_or_refuse
from servery.cli.options import AllowIncompatible, Json, Server, Variables, connect, variables_of
from servery.cli.output import print_fields, print_json, print_table, progress, report
from servery.errors import InvalidInput

if TYPE_CHECKING:
    from servery.client import Endpoint, ServedEntity

group = typer.Typer(help="The endpoints: names that callers send data to.", no_args_is_help=True)

EndpointName = Annotated[str, typer.Argument(metavar="ENDPOINT", help="An endpoint.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long to wait for it.")]


def add_to(app: typer.Typer) -> None:
    app.command()(deploy)
    app.command()(rollback)
    app.add_typer(group, name="endpoints")


def deploy(
    endpoint: EndpointName,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL_URI[=PERCENT]...",
            help="models:/name/3 or models:/name@alias; several with their percentages of the requests.",
        ),
    ],
    replicas: Annotated[int, typer.Option(min=1, help="Workers of each version on each gateway.")] = 1,
    strict: Annotated[
        bool | None, typer.Option("--strict/--no-strict", help="Refuse a coercion that loses something.")
    ] = None,
    env: Variables = None,
    allow_incompatible: AllowIncompatible = False,
    check: CheckOption = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it serves.")] = True,
    timeout: Timeout = 600.0,
    server: Server = None,
    json: Json = False,
) -> None:
    """Create an endpoint, or move it. Not a request is lost when it moves."""
    shares = parse_shares(models)
    for uri, _ in shares if check else ():
        check_or_refuse(uri, server=server, quiet=json, variables=variables_of(env))
    with connect(server) as client, progress(f"Deploying {endpoint}…", quiet=json) as status:

        def show(found: Endpoint) -> None:
            if status is not None:
                status.update(f"Deploying {endpoint}: {_progress_text(found)}")

        found = client.deploy(
            endpoint,
            shares,
            replicas=replicas,
            strict=strict,
            environment_vars=variables_of(env),
            allow_incompatible=allow_incompatible,
            wait=wait,
            timeout_seconds=timeout,
            progress=show,
        )
        example = client.input_example(shares[0][0]) if wait and not json else None
    _show(found, json=json)
    if example is not None:
        typer.echo(f"Next: servery predict {endpoint} {shlex.quote(example)}")


def parse_shares(texts: list[str]) -> list[tuple[str, int]]:
    """``MODEL_URI`` alone gets everything; several need ``MODEL_URI=PERCENT`` each, 100 in all."""
    if len(texts) == 1 and not re.search(r"=\d+$", texts[0]):
        return [(texts[0], 100)]
    shares = []
    for text in texts:
        uri, separator, percent = text.rpartition("=")
        if not separator or not re.fullmatch(r"\d{1,3}", percent):
            raise InvalidInput("MODEL_URI", expected="MODEL_URI=PERCENT for each of several", got=text)
        shares.append((uri, int(percent)))
    if sum(percent for _, percent in shares) != 100:
        raise InvalidInput("MODEL_URI", expected="percentages that add up to 100", got=", ".join(texts))
    return shares


def rollback(endpoint: EndpointName, timeout: Timeout = 600.0, server: Server = None, json: Json = False) -> None:
    """Move an endpoint back. It serves again what it served before its last change."""
    with connect(server) as client, progress(f"Rolling {endpoint} back…", quiet=json):
        before = client.endpoint(endpoint)
        found = client.rollback(endpoint, timeout_seconds=timeout)
    _show(found, json=json)
    again = _follow_again(before)
    if again and not json:
        typer.echo(f"It keeps this version and no longer follows an alias. To follow again: {again}")


def _follow_again(before: Endpoint) -> str | None:
    """The command that makes an endpoint follow the aliases that it followed before; None where it followed none."""
    asked = before.pending or before.entities
    if all(entity.alias is None for entity in asked):
        return None
    uris = [f"models:/{entity.model}@{entity.alias}" if entity.alias else entity.uri for entity in asked]
    shares = [f"{uri}={entity.percent}" for uri, entity in zip(uris, asked, strict=True)] if len(asked) > 1 else uris
    replicas = max(entity.replicas for entity in asked)
    words = ["servery", "deploy", before.name, *shares, *(["--replicas", str(replicas)] if replicas > 1 else [])]
    return shlex.join(words)


@group.command("ls")
def list_endpoints(server: Server = None, json: Json = False) -> None:
    """List the endpoints."""
    with connect(server) as client:
        found = client.endpoints()
    if json:
        print_json(found)
        return
    rows = [(item.name, _serves(item.entities), _state_text(item), item.url or "") for item in found]
    empty = "No endpoint exists yet; 'servery deploy ENDPOINT MODEL_URI' creates one."
    print_table(("Endpoint", "Serves", "State", "Address"), rows, empty=empty)


@group.command("show")
def show_endpoint(endpoint: EndpointName, server: Server = None, json: Json = False) -> None:
    """Show what an endpoint serves, and what it moves to."""
    with connect(server) as client:
        _show(client.endpoint(endpoint), json=json)


@group.command("watch")
def watch_endpoint(endpoint: EndpointName, timeout: Timeout = 600.0, server: Server = None, json: Json = False) -> None:
    """Follow an endpoint's move until it has ended; one line for each change."""
    lines: list[str] = []

    def show(found: Endpoint) -> None:
        line = _progress_text(found)
        if lines[-1:] != [line]:
            lines.append(line)
            typer.echo(line, err=json)

    with connect(server) as client:
        _show(client.wait(endpoint, timeout_seconds=timeout, progress=show), json=json)


@group.command("rm")
def remove(endpoint: EndpointName, server: Server = None, json: Json = False) -> None:
    """Remove an endpoint; its models stay registered."""
    with connect(server) as client:
        client.delete_endpoint(endpoint)
    report({"endpoint": endpoint, "removed": True}, f"Endpoint {endpoint} is gone.", json=json)


def _show(endpoint: Endpoint, *, json: bool) -> None:
    if json:
        print_json(endpoint)
        return
    fields = {
        "Endpoint": endpoint.name,
        "State": _state_text(endpoint),
        "Serves": _serves(endpoint.entities),
        "Strict": "yes" if endpoint.strict else "",
        "Moves to": _serves(endpoint.pending),
        "Failure": endpoint.failure,
        "Address": endpoint.url,
    }
    print_fields(fields)


def _serves(entities: tuple[ServedEntity, ...]) -> str:
    return ", ".join(
        entity.uri
        + (f" (@{entity.alias})" if entity.alias else "")
        + (f" {entity.percent}%" if len(entities) > 1 else "")
        for entity in entities
    )


def _state_text(endpoint: Endpoint) -> str:
    moves = {"IN_PROGRESS": ", moving", "UPDATE_FAILED": ", its last move failed", "UPDATE_CANCELED": ", move canceled"}
    return ("ready" if endpoint.ready else "not ready") + moves.get(endpoint.update, "")


def _progress_text(endpoint: Endpoint) -> str:
    states = []
    for entity in endpoint.pending or endpoint.entities:
        state = entity.state.removeprefix("DEPLOYMENT_").lower()
        states.append(f"{entity.uri} {state}" + (f": {entity.message}" if entity.message else ""))
    waits = "" if endpoint.url else "; no gateway is running, start one with 'servery gateway'"
    return f"{', '.join(states)} ({_state_text(endpoint)}{waits})"
