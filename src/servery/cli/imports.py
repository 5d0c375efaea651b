"""``servery import``: what an MLflow server has, with a plan first and a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servery.cli.options import Home, Json, Server, connect
from servery.cli.output import console, print_json, print_table, progress, size_text

if TYPE_CHECKING:
    from servery.client.import_plan import ModelPlan, VersionPlan

_CHANGES_SHOWN = 4


def add_to(app: typer.Typer) -> None:
    app.command("import")(import_models)


def import_models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="These models; all by default.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="The MLflow server.  [env MLFLOW_TRACKING_URI]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Fetch what is here already, too, and compare every byte.")
    ] = False,
    server: Server = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Copy models from an MLflow server, with versions, aliases, tags and lineage. May be stopped, and run again."""
    from servery.client.imports import Importer, ImportIncomplete, import_cache, problems_of
    from servery.client.mlflow_server import MlflowServer
    from servery.config import ClientConfig, load_config, load_mlflow, object_store_settings

    folder = load_config(ClientConfig, {"home": home}).home
    with MlflowServer(load_mlflow(), source) as mlflow, connect(server, home) as client, import_cache(folder) as cache:
        importer = Importer(mlflow, client, cache, object_store_settings())
        with progress(f"Looking at {mlflow.registry.server}…", quiet=json):
            plans = importer.plan(names or (), verify=verify)
        if not dry_run:
            if not json:
                _print_plans(plans)
            with _bar(plans, quiet=json) as (advance, on_version):
                plans = importer.run(plans, advance=advance, on_version=on_version)
        problems = problems_of(plans)
        if json:
            print_json(_document(plans, mlflow.registry.server, dry_run=dry_run))
        else:
            if dry_run:
                _print_plans(plans)
            _say_end(plans, dry_run=dry_run)
            for problem in problems:
                typer.echo(f"Not imported: {problem}")
    if problems:
        raise ImportIncomplete(len(problems))


def _print_plans(plans: Sequence[ModelPlan]) -> None:
    from servery.client.import_plan import Outcome

    rows = [
        (
            plan.model.name,
            _numbers(plan, Outcome.NEW),
            size_text(sum(version.size_bytes for version in plan.new_versions)) if plan.new_versions else "",
            _numbers(plan, Outcome.SAME),
            _changes_text(plan),
        )
        for plan in plans
        if not plan.problem
    ]
    print_table(
        ("Model", "New versions", "Size", "Here already", "Changes"), rows, empty="There is no model to import."
    )


def _numbers(plan: ModelPlan, outcome: str) -> str:
    """Version numbers, neighbours together: ``1-5, 7``."""
    spans: list[list[int]] = []
    for version in plan.versions:
        if version.outcome == outcome:
            number = version.version.number
            if spans and spans[-1][1] == number - 1:
                spans[-1][1] = number
            else:
                spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _changes_text(plan: ModelPlan) -> str:
    texts = [str(change) for change in plan.all_changes]
    more = len(texts) - _CHANGES_SHOWN
    return ", ".join(texts[:_CHANGES_SHOWN]) + (f", and {more} more" if more > 0 else "")


@contextmanager
def _bar(
    plans: Sequence[ModelPlan], *, quiet: bool
) -> Iterator[tuple[Callable[[int], None], Callable[[VersionPlan], None]]]:
    """A progress bar on a terminal's standard error; the calls that move it may come from several threads."""
    new = [version for plan in plans for version in plan.new_versions]
    if quiet or not new or not sys.stderr.isatty():
        yield (lambda _count: None), (lambda _plan: None)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as shown:
        # Each byte comes here and goes on from here.
        task = shown.add_task("Importing", total=2 * sum(version.size_bytes for version in new))

        def on_version(plan: VersionPlan) -> None:
            shown.update(task, description=f"{plan.version.name}/{plan.version.number}")

        yield (lambda count: shown.advance(task, count)), on_version


def _say_end(plans: Sequence[ModelPlan], *, dry_run: bool) -> None:
    counts = _counts(plans)
    if dry_run:
        what = f"Would import {counts['new']} versions and make {counts['changes']} changes; nothing was done."
    else:
        what = f"Imported {counts['imported']} versions and made {counts['changes']} changes"
        what += f"; {counts['same']} versions were here already."
    skipped = f" {counts['skipped']} are not published there." if counts["skipped"] else ""
    typer.echo(what + skipped)


def _counts(plans: Sequence[ModelPlan]) -> dict[str, int]:
    from servery.client.import_plan import Outcome

    outcomes = [version.outcome for plan in plans for version in plan.versions]
    counts = {outcome.value: outcomes.count(outcome) for outcome in Outcome}
    return {"models": len(plans), **counts, "changes": sum(len(plan.all_changes) for plan in plans)}


def _document(plans: Sequence[ModelPlan], server: str, *, dry_run: bool) -> dict[str, Any]:
    models = [
        {
            "name": plan.model.name,
            "is_new": plan.is_new,
            "versions": [
                {
                    "version": version.version.number,
                    "outcome": version.outcome.value,
                    "message": version.message,
                    "size_bytes": version.size_bytes,
                }
                for version in plan.versions
            ],
            "changes": [str(change) for change in plan.all_changes],
            "problem": plan.problem,
        }
        for plan in plans
    ]
    return {"from": server, "dry_run": dry_run, "counts": _counts(plans), "models": models}
