"""``servery check``: what can be known of a package before callers meet it; and ``--check`` of other commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servery.cli.options import EnvManagerOption, Home, Json, Server, Variables, connect, variables_of
from servery.cli.output import console, print_json, print_table, progress, size_text, time_text
from servery.errors import NotFit

if TYPE_CHECKING:
    from servery.check.report import Report
    from servery.check.settings import Settings
    from servery.client import ModelVersion

_MARKS = {"OK": ("✓", "green"), "NOTE": ("•", "blue"), "WARNING": ("!", "yellow"), "BROKEN": ("✗", "bold red")}
_SKIPPED = ("–", "dim")
_UNFIT = "not fit"
_INDENT = 20
"""Where the sentences begin."""
_REPORT_VERSION = 1

CheckOption = Annotated[
    bool, typer.Option("--check", help="Check it first, as 'servery check' does, and go no further where it is broken.")
]


def add_to(app: typer.Typer) -> None:
    app.command()(check)


def check(
    model_uri: Annotated[
        str, typer.Argument(metavar="MODEL_URI", help="A folder, models:/name/3 or models:/name@alias.")
    ],
    env_manager: EnvManagerOption = None,
    env: Variables = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=1, metavar="SECONDS", help="How long it may take to load, and to answer.  [as a gateway's]"),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Keep the report with a registered version; it does by default.")
    ] = True,
    server: Server = None,
    home: Home = None,
    json: Json = False,
) -> int:
    """Check a model: load it here, ask it, try its edges, measure it. Says whether it is fit to be deployed."""
    report, version = check_uri(
        model_uri,
        server=server,
        home=home,
        env_manager=env_manager,
        variables=variables_of(env),
        timeout_seconds=timeout,
        quiet=json,
    )
    if version is not None and store:
        store_report(report, version, server=server, home=home)
    if json:
        print_json(report.as_json())
    else:
        print_report(report.as_json())
        if version is not None and store:
            typer.echo(f"\nStored with {version.uri}: servery models show {version.name} --version {version.version}")
    return 1 if report.fitness == _UNFIT else 0


def check_uri(
    model_uri: str,
    *,
    server: str | None = None,
    home: Path | None = None,
    env_manager: str | None = None,
    variables: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
    quiet: bool = False,
) -> tuple[Report, ModelVersion | None]:
    """Check the package on this machine; the report, and the version that it is, if it came from the registry."""
    import asyncio

    from servery.check.run import check as run_check
    from servery.client.load import local_package
    from servery.clock import SystemClock

    folder, version = local_package(model_uri, server=server, home=home)
    name = model_uri if version is None else version.uri
    settings = _settings(home, env_manager, variables or {}, timeout_seconds)
    with progress(f"Checking {name}…", quiet=quiet) as status:

        def say(what: str) -> None:
            if status is not None:
                status.update(f"Checking {name}: {what}")

        report = asyncio.run(run_check(folder.absolute(), settings, SystemClock(), model=name, say=say))
    return report, version


def _settings(
    home: Path | None, env_manager: str | None, variables: Mapping[str, str], timeout_seconds: float | None
) -> Settings:
    from servery.check.settings import Limits, Settings
    from servery.clock import SystemClock
    from servery.config import GatewayConfig, load_config, package_sources
    from servery.workers.environments.store import environments_of

    config = load_config(GatewayConfig, {"home": home, "env_manager": env_manager})
    limits = Limits(
        load_seconds=timeout_seconds or config.load_timeout_seconds,
        predict_seconds=timeout_seconds or config.request_timeout_seconds,
    )
    return Settings(
        environments=environments_of(config, package_sources(), SystemClock()),
        server_variables=config.worker_variables,
        own_variables=variables,
        limits=limits,
        request_timeout_seconds=config.request_timeout_seconds,
    )


def check_or_refuse(model_uri: str, *, server: str | None, quiet: bool, **options: Any) -> Report:
    """Check it before something is done with it; the report is printed, and stored with a registered version.

    Raises:
        NotFit: it is broken.
    """
    report, version = check_uri(model_uri, server=server, quiet=quiet, **options)
    if not quiet:
        print_report(report.as_json())
    if version is not None:
        store_report(report, version, server=server)
    if report.fitness == _UNFIT:
        raise NotFit(model_uri, report.recommendation)
    return report


def store_report(report: Report, version: ModelVersion, *, server: str | None, home: Path | None = None) -> None:
    with connect(server, home) as client:
        client.put_check(str(version.digest), report.as_json())


def print_report(report: Mapping[str, Any]) -> None:
    """A report in its JSON form, for people: a mark and a sentence for each thing, figures, what to do."""
    import textwrap

    from rich.text import Text

    typer.echo(f"{report['model']}  digest {report['digest'][:16] or '—'}, checked in {report['took_seconds']:.1f} s\n")
    out = console()
    for finding in report["findings"]:
        mark, style = _MARKS.get(finding["verdict"], _SKIPPED)
        dim = "dim" if finding["verdict"] == "SKIPPED" else ""
        lines = textwrap.wrap(finding["sentence"], max(40, out.width - _INDENT)) or [""]
        rest = "".join(f"\n{' ' * _INDENT}{line}" for line in lines[1:])
        head = f"  {finding['look']:<{_INDENT - 5}}  {lines[0]}{rest}"
        out.print(Text.assemble((mark, style), (head, dim)), soft_wrap=True)
    _print_figures(report["figures"])
    typer.echo(f"\n{report['recommendation']}")


def _print_figures(figures: Mapping[str, Any]) -> None:
    if figures["load_seconds"] is not None:
        memory = size_text(figures["memory_bytes"])
        typer.echo(f"\nLoad {figures['load_seconds']:.1f} s, memory {memory}")
    rows = [
        (
            rate["size"],
            f"{rate['requests_per_second']:.0f}",
            f"{rate['rows_per_second']:.0f}",
            f"{rate['p50_ms']:.2f} ms",
            f"{rate['p99_ms']:.2f} ms",
        )
        for rate in figures["rates"]
    ]
    if rows:
        print_table(("At a time", "Requests/s", "Rows/s", "p50", "p99"), rows, empty="")


def summary_fields(report: Any) -> dict[str, str]:
    """What ``servery models show`` says of a stored report."""
    if not isinstance(report, dict) or report.get("version") != _REPORT_VERSION:
        return {} if report is None else {"Check": "stored by another release; check it again"}
    fields = {"Checked": f"{time_text(report['checked_at_ms'])}, {report['fitness']}"}
    fields["Advice"] = report["recommendation"]
    for finding in report["findings"]:
        if finding["verdict"] in ("NOTE", "WARNING", "BROKEN"):
            mark, _ = _MARKS[finding["verdict"]]
            fields[f"{mark} {finding['look']}"] = finding["sentence"]
    return fields
