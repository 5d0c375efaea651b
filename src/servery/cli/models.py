"""``servery register`` and ``servery models …``: the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from servery.cli.check import CheckOption, check_or_refuse, summary_fields
from servery.cli.lineage import lineage_fields
from servery.cli.options import MODEL_URI_HELP, AllowIncompatible, Json, Server, connect
from servery.cli.output import pairs_text, print_fields, print_json, print_table, progress, report, size_text, time_text
from servery.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from servery.client import Client, Endpoint, ModelVersion, RegisteredModel

group = typer.Typer(help="The registered models, their versions, aliases and tags.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="NAME", help="A registered model.")]
VersionOption = Annotated[int | None, typer.Option(min=1, help="This version of it.")]


def add_to(app: typer.Typer) -> None:
    app.command()(register)
    app.add_typer(group, name="models")


def register(
    path: Annotated[str, typer.Argument(metavar="MODEL_URI", help=MODEL_URI_HELP)],
    name: Annotated[str, typer.Option(help="The model that it is a version of.")],
    alias: Annotated[str | None, typer.Option(help="Point this alias at the new version.")] = None,
    description: Annotated[str | None, typer.Option(help="What a reader should know about this version.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A tag; may be repeated.")] = None,
    check: CheckOption = False,
    server: Server = None,
    json: Json = False,
) -> None:
    """Upload a package, from wherever it lies, as a model's next version."""
    from servery.client.load import comes_from_servery, local_package
    from servery.names import REGISTERED, parse_model_uri

    tags = dict(_key_and_value(text) for text in tag or ())
    found = check_or_refuse(str(path), server=server, quiet=json) if check else None
    with connect(server) as client, progress(f"Uploading {path}…", quiet=json) as status:
        uri = parse_model_uri(path)
        from_mlflow = uri.kind in REGISTERED and not comes_from_servery(uri, server=server)
        package = local_package(path, server=server)[0] if from_mlflow else path

        def show(sent_bytes: int, bytes_all: int) -> None:
            if status is not None:
                status.update(f"Uploading {path}: {size_text(sent_bytes)} of {size_text(bytes_all)}")

        version = client.register(package, name, alias, description, tags, progress=show)
        if found is not None:
            client.put_check(str(version.digest), found.as_json())
            version = client.version(name, version.version)
    if json:
        print_json(version)
        return
    typer.echo(f"Registered {version.uri}  ({size_text(version.size_bytes)}, digest {str(version.digest)[:16]})")
    for problem in version.incompatibilities:
        typer.echo(f"Incompatible with version {version.previous_version}: {problem}")
    if alias is not None:
        typer.echo(f"Alias {alias} points at version {version.version}.")
    typer.echo(f"Next: servery deploy {name} models:/{name}{f'@{alias}' if alias else f'/{version.version}'}")


@group.command("ls")
def list_models(server: Server = None, json: Json = False) -> None:
    """List the registered models."""
    with connect(server) as client:
        found = client.models()
    if json:
        print_json(found)
        return
    rows = [
        (model.name, model.latest_version or "", pairs_text(model.aliases), time_text(model.updated_at_ms))
        for model in found
    ]
    empty = "No model is registered yet; 'servery register PATH --name NAME' registers one."
    print_table(("Model", "Latest", "Aliases", "Changed"), rows, empty=empty)


@group.command("show")
def show_model(name: ModelName, version: VersionOption = None, server: Server = None, json: Json = False) -> None:
    """Show a model with its versions, or one version."""
    with connect(server) as client:
        if version is not None:
            _show_version(client.version(name, version), json=json)
            return
        model, versions = client.model(name), client.versions(name)
    _show_model(model, versions, json=json)


def _show_model(model: RegisteredModel, versions: list[ModelVersion], *, json: bool) -> None:
    if json:
        print_json({"model": model, "versions": versions})
        return
    tags, changed = pairs_text(model.tags), time_text(model.updated_at_ms)
    print_fields({"Model": model.name, "Description": model.description, "Tags": tags, "Changed": changed})
    rows = [
        (
            found.version,
            ", ".join(found.aliases),
            time_text(found.created_at_ms),
            pairs_text(found.tags),
            found.description,
        )
        for found in reversed(versions)
    ]
    print_table(("Version", "Aliases", "Created", "Tags", "Description"), rows, empty="It has no versions.")


def _show_version(version: ModelVersion, *, json: bool) -> None:
    if json:
        print_json(version)
        return
    fields = {
        "Version": version.uri,
        "Digest": version.digest,
        "Size": size_text(version.size_bytes),
        "Aliases": ", ".join(version.aliases),
        "Tags": pairs_text(version.tags),
        "Description": version.description,
        "Run": version.run_id,
        "Created": time_text(version.created_at_ms),
        **lineage_fields(version.lineage),
    }
    if version.incompatibilities:
        fields["Incompatible"] = f"with version {version.previous_version}: {' '.join(version.incompatibilities)}"
    signature = version.signature if isinstance(version.signature, dict) else {}
    fields |= summary_fields(version.check)
    print_fields(fields | {part.capitalize(): signature.get(part) for part in ("inputs", "outputs", "params")})


@group.command("logs")
def show_logs(name: ModelName, version: VersionOption = None, server: Server = None, json: Json = False) -> None:
    """Show in which Python environment each gateway runs a version, and how it was made. The latest version."""
    with connect(server) as client:
        number = version or client.model(name).latest_version
        if number is None:
            raise NotFound("Model version", f"{name}, which has none")
        found = client.build_logs(name, number)
    if json:
        print_json({"model": name, "version": number, "build_logs": found})
        return
    for log in found:
        typer.echo(f"Gateway {log.gateway}, {time_text(log.at_ms)}:\n{log.text.rstrip()}")
    if not found:
        typer.echo(f"No gateway has run version {number} of {name} yet.")


@group.command("alias")
def set_alias(
    name: ModelName,
    alias: Annotated[str, typer.Argument(metavar="ALIAS")],
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", min=1)] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the alias away.")] = False,
    allow_incompatible: AllowIncompatible = False,
    server: Server = None,
    json: Json = False,
) -> None:
    """Point an alias at a version. Waits, a minute at most, until the endpoints that follow it have moved."""
    from servery.client import DeployFailed

    if (version is None) is not delete:
        raise typer.BadParameter("give a VERSION, or --delete without one")
    with connect(server) as client:
        if version is None:
            client.delete_alias(name, alias)
            followers: list[Endpoint] = []
        else:
            with progress(f"Moving {alias} to version {version}…", quiet=json):
                client.set_alias(name, alias, version, allow_incompatible=allow_incompatible)
            followers = _followers(client, name, alias)
    if json:
        print_json({"model": name, "alias": alias, "version": version, "endpoints": followers})
    elif version is None:
        typer.echo(f"Alias {alias} of {name} is gone.")
    else:
        typer.echo(f"Alias {alias} of {name} points at version {version}.")
        for endpoint in followers:
            if not endpoint.failure:
                typer.echo(_move_text(endpoint))
    for endpoint in followers:
        if endpoint.failure:
            raise DeployFailed(endpoint.name, endpoint.failure)


def _move_text(endpoint: Endpoint) -> str:
    from servery.client import Update

    if endpoint.update is Update.DONE:
        return f"Endpoint {endpoint.name} has moved to it."
    return f"Endpoint {endpoint.name} is still moving to it. See how it goes: servery endpoints watch {endpoint.name}"


def _followers(client: Client, name: str, alias: str) -> list[Endpoint]:
    """The endpoints that serve whatever the alias points at."""
    return [
        endpoint
        for endpoint in client.endpoints()
        if any(entity.model == name and entity.alias == alias for entity in (*endpoint.entities, *endpoint.pending))
    ]


@group.command("tag")
def set_tag(
    name: ModelName,
    pair: Annotated[str, typer.Argument(metavar="KEY=VALUE", help="KEY alone with --delete.")],
    version: VersionOption = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take the tag away.")] = False,
    server: Server = None,
    json: Json = False,
) -> None:
    """Tag a model, or one version of it."""
    what = name if version is None else f"version {version} of {name}"
    key, value = (pair, None) if delete else _key_and_value(pair)
    with connect(server) as client:
        if value is None:
            client.delete_tag(name, key, version=version)
        else:
            client.set_tag(name, key, value, version=version)
    fields = {"model": name, "version": version, "key": key, "value": value}
    report(fields, f"Tag {key} of {what} is {'gone' if value is None else value}.", json=json)


@group.command("rm")
def remove(name: ModelName, version: VersionOption = None, server: Server = None, json: Json = False) -> None:
    """Remove a model with all its versions, or one version; refused while an endpoint serves it."""
    with connect(server) as client:
        if version is None:
            client.delete_model(name)
        else:
            client.delete_version(name, version)
    gone = f"Model {name} is gone." if version is None else f"Version {version} of {name} is gone for good."
    report({"model": name, "version": version, "removed": True}, gone, json=json)


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InvalidInput("tag", expected="KEY=VALUE", got=text)
    return key, value
