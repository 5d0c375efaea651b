"""``servery env …``: the Python environments that were made for models on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from servery.cli.options import Home, Json
from servery.cli.output import print_fields, print_json, print_table, progress, size_text, time_text

if TYPE_CHECKING:
    from servery.workers.environments.store import EnvironmentRecord, Environments

group = typer.Typer(help="The Python environments made for models on this machine.", no_args_is_help=True)

_SHOWN = 16
"""Enough of a digest to name an environment."""
_DAY_SECONDS = 86_400


def add_to(app: typer.Typer) -> None:
    app.add_typer(group, name="env")


@group.command("ls")
def list_environments(home: Home = None, json: Json = False) -> None:
    """List the environments, with their sizes; the last used first."""
    found = _environments(home).records()
    if json:
        print_json(found)
        return
    empty = "No environment has been made on this machine yet."
    print_table(
        ("Environment", "Python", "Packages", "Size", "Last used", "In use"),
        [_row(record) for record in found],
        empty=empty,
    )


@group.command("show")
def show_environment(
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="A digest, or its beginning.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Show an environment: what was asked for, what is in it, how it was made."""
    record, log = _environments(home).find(environment)
    if json:
        print_json({"environment": record, "log": log})
        return
    fields = {
        "Environment": record.digest,
        "Python": record.python,
        "Requirements": ", ".join(record.requirements),
        "Packages": ", ".join(record.packages),
        "Size": size_text(record.size_bytes),
        "Made": time_text(record.created_at_ms),
        "Last used": time_text(record.used_at_ms),
        "In use": "yes" if record.is_used else "no",
    }
    print_fields(fields)
    typer.echo(f"\n{log.rstrip()}")


@group.command("prune")
def prune_environments(
    unused_days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Only those that nothing has used for so long.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Remove the environments that no process uses now. They are made again when they are needed."""
    with progress("Removing environments…", quiet=json):
        removed = _environments(home).prune(unused_seconds=unused_days * _DAY_SECONDS, dry_run=dry_run)
    if json:
        print_json({"removed": removed, "dry_run": dry_run})
        return
    print_table(
        ("Environment", "Python", "Packages", "Size", "Last used", "In use"),
        [_row(record) for record in removed],
        empty="",
    )
    size = size_text(sum(record.size_bytes for record in removed))
    typer.echo(f"{'Would remove' if dry_run else 'Removed'} {len(removed)} environment(s), {size}.")


def _row(record: EnvironmentRecord) -> tuple[str, ...]:
    return (
        record.digest[:_SHOWN],
        record.python,
        str(len(record.packages)),
        size_text(record.size_bytes),
        time_text(record.used_at_ms),
        "yes" if record.is_used else "no",
    )


def _environments(home: Home) -> Environments:
    from servery.clock import SystemClock
    from servery.config import GatewayConfig, load_config, package_sources
    from servery.workers.environments.store import environments_of

    return environments_of(load_config(GatewayConfig, {"home": home}), package_sources(), SystemClock())
