"""``servery doctor``: look at this machine, the home folder and the server; say what is broken and how to mend it."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from servery.cli.options import Home, Json, Server
from servery.cli.output import console, print_json, size_text
from servery.errors import ConfigInvalid, ServeryError

if TYPE_CHECKING:
    from servery.config import ControlConfig

_PYTHON_MIN = (3, 11)
_DISK_BYTES_MIN = 1 << 30


class Verdict(Enum):
    FINE = "✓"
    BROKEN = "✗"
    NOTE = "·"


@dataclass(frozen=True, slots=True)
class Finding:
    """One look: what was looked at, how it is, and for what is broken how to mend it."""

    check: str
    verdict: Verdict
    found: str
    repair: str = ""


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(home: Home = None, server: Server = None, json: Json = False) -> int:
    """Check this machine, the home folder and the server."""
    findings = list(examine(home, server))
    broken = sum(finding.verdict is Verdict.BROKEN for finding in findings)
    if json:
        rows = [
            {"check": f.check, "ok": f.verdict is not Verdict.BROKEN, "found": f.found, "repair": f.repair}
            for f in findings
        ]
        print_json({"findings": rows, "broken": broken})
    else:
        _print(findings)
    if broken:
        typer.echo(f"servery: {broken} of {len(findings)} checks found something broken.", err=True)
    return 1 if broken else 0


def _print(findings: list[Finding]) -> None:
    colors = {Verdict.FINE: "green", Verdict.BROKEN: "red", Verdict.NOTE: "dim"}
    screen = console()
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        mark = f"[{colors[finding.verdict]}]{finding.verdict.value}[/]"
        screen.print(f"{mark} {finding.check:<{width}}  ", end="")
        screen.print(finding.found, markup=False)
        if finding.repair:
            screen.print(f"{'':<{width + 2}}  → {finding.repair}", markup=False)


def examine(home: Path | None, server: str | None) -> Iterator[Finding]:
    """Every look, in the order in which one breaks the next. No model is loaded and nothing is changed."""
    from servery.config import ClientConfig, ControlConfig, GatewayConfig, load_config

    yield _python()
    try:
        client = load_config(ClientConfig, {"home": home, "server": server})
        control = load_config(ControlConfig, {"home": home})
        gateway = load_config(GatewayConfig, {"home": home})
    except ConfigInvalid as error:
        yield Finding("Settings", Verdict.BROKEN, error.message, "mend the setting that is named")
        return
    yield Finding("Settings", Verdict.FINE, "every setting is known")
    yield _home(control)
    yield _disk(control.home)
    yield from _registry(control.home)
    yield _port(control.host, control.port, "--port", "/health")
    yield _port(gateway.host, gateway.gateway_port, "--gateway-port", "/livez")
    yield _server(client.server)
    yield _program("wrk", "drives the benchmark")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < _PYTHON_MIN:
        return Finding("Python", Verdict.BROKEN, f"version {version}", "install Python 3.11 or newer")
    return Finding("Python", Verdict.FINE, f"version {version}")


def _home(config: ControlConfig) -> Finding:
    from servery.config import prepare_home

    if not config.home.exists():
        return Finding("Home", Verdict.NOTE, f"{config.home} does not exist yet; the first start creates it")
    return _try("Home", lambda: f"{prepare_home(config.home)} can be written", "choose another with --home")


def _disk(home: Path) -> Finding:
    place = next((folder for folder in (home, *home.parents) if folder.is_dir()), Path("/"))
    free_bytes = shutil.disk_usage(place).free
    found = f"{size_text(free_bytes)} free"
    if free_bytes < _DISK_BYTES_MIN:
        return Finding("Disk", Verdict.BROKEN, found, f"free at least {size_text(_DISK_BYTES_MIN)} below {place}")
    return Finding("Disk", Verdict.FINE, found)


def _registry(home: Path) -> Iterator[Finding]:
    """The database, then every file that it names against its SHA-256; read only, beside a running server."""
    path = home / "servery.db"
    if not path.is_file():
        yield Finding("Registry", Verdict.NOTE, "no database yet; the first start creates it")
        return
    repair = f"stop the server and put {path} back from your backup"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            verdict = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
            orphans = len(database.execute("PRAGMA foreign_key_check").fetchall())
            blobs = [str(row[0]) for row in database.execute("SELECT sha256 FROM blobs ORDER BY sha256")]
    except sqlite3.Error as error:
        yield Finding("Registry", Verdict.BROKEN, f"the database cannot be read ({error})", repair)
        return
    if verdict != "ok" or orphans:
        found = f"the database is damaged ({verdict}, {orphans} rows that lead nowhere)"
        yield Finding("Registry", Verdict.BROKEN, found, repair)
        return
    yield Finding("Registry", Verdict.FINE, "the database is whole")
    yield _blobs(home, blobs)


def _blobs(home: Path, blobs: list[str]) -> Finding:
    damaged = [sha256 for sha256 in blobs if not _is_whole(blob_path(home, sha256), sha256)]
    if damaged:
        found = f"{len(damaged)} of {len(blobs)} files are damaged or missing, the first is {damaged[0][:16]}"
        return Finding("Model files", Verdict.BROKEN, found, f"put {home / 'blobs'} back from your backup")
    return Finding("Model files", Verdict.FINE, f"{len(blobs)} files, each as its SHA-256 says")


def blob_path(home: Path, sha256: str) -> Path:
    """Where the local artifact store keeps a file."""
    return home / "blobs" / "sha256" / sha256[:2] / sha256


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _port(host: str, port: int, flag: str, probe: str) -> Finding:
    from servery.cli.addresses import check_port
    from servery.client.transport import Transport
    from servery.config import url_of

    check = f"Port {port}"
    try:
        check_port(host, port, flag)
    except ServeryError:
        transport = Transport(url_of(host, port), timeout_seconds=3.0, advice="")
        try:
            transport.send("GET", probe)
        except ServeryError:
            found = f"something else listens on {host}:{port}"
            return Finding(check, Verdict.BROKEN, found, f"stop it, or start Servery with another {flag}")
        finally:
            transport.close()
        return Finding(check, Verdict.FINE, f"Servery answers on {host}:{port}")
    return Finding(check, Verdict.FINE, f"free on {host}")


def _server(address: str) -> Finding:
    from servery.client import Client
    from servery.errors import Unreachable

    try:
        with Client(address, timeout_seconds=5.0) as client:
            models, endpoints = client.models(), client.endpoints()
    except Unreachable:
        return Finding("Server", Verdict.NOTE, f"nothing answers at {address}; 'servery up' starts a server")
    except ServeryError as error:
        return Finding("Server", Verdict.BROKEN, error.message, "look into the server's log")
    failed = [endpoint.name for endpoint in endpoints if not endpoint.ready]
    found = f"{address} answers: {len(models)} models, {len(endpoints)} endpoints"
    if failed:
        repair = f"servery endpoints show {failed[0]}"
        return Finding("Server", Verdict.BROKEN, f"{found}, not ready: {', '.join(failed)}", repair)
    return Finding("Server", Verdict.FINE, found)


def _program(name: str, purpose: str) -> Finding:
    path = shutil.which(name)
    return Finding(name, Verdict.NOTE, path or f"not installed; it {purpose}, nothing else needs it")


def _try(check: str, look: Callable[[], str], repair: str) -> Finding:
    try:
        return Finding(check, Verdict.FINE, look())
    except ServeryError as error:
        return Finding(check, Verdict.BROKEN, error.message, repair)
