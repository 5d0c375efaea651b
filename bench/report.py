"""What a run found: kept as JSON, shown as tables, written into docs/performance.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from bench.servers import Memory
from bench.wrk import Point

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
HEADINGS = ("", "conns", "requests a second", "p50 ms", "p99 ms", "÷ floor", "÷ predict", "p50 over predict")
PREDICT = "predict"
"""The name of the measurement without a server."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One server on one workload. ``failure`` is one sentence when it could not be measured to the end."""

    workload: str
    server: str
    points: tuple[Point, ...] = ()
    memory: Memory | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    cpus: int
    cpu: str
    system: str


@dataclass(frozen=True, slots=True)
class Report:
    date: str
    command: str
    seconds: int
    machine: Machine
    versions: dict[str, str]
    titles: dict[str, str]
    """What each workload is, by its name."""
    measurements: tuple[Measurement, ...]

    def point(self, workload: str, server: str, connections: int) -> Point | None:
        """The point to compare with; None where it is missing or failed."""
        for measurement in self.measurements:
            if (measurement.workload, measurement.server) == (workload, server):
                return next((p for p in measurement.points if p.connections == connections and not p.failed), None)
        return None


def this_machine() -> Machine:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return Machine(len(os.sched_getaffinity(0)), cpu, f"{platform.system()} {platform.release()}")


def versions() -> dict[str, str]:
    names = ("servery", "scikit-learn", "pandas", "numpy", "uvloop", "httptools")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def save(report: Report) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report.date.replace(':', '')}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return path


def latest() -> Report | None:
    """The newest result on this machine, by the date in its name."""
    paths = sorted(RESULTS.glob("*.json"))
    return msgspec.json.decode(paths[-1].read_bytes(), type=Report) if paths else None


def show(report: Report, console: Console) -> None:
    for workload, title in report.titles.items():
        table = Table(title=f"{workload}: {title}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        headings, rows = _rows(report, workload)
        for number, heading in enumerate(headings):
            longest_word = max(map(len, heading.split()), default=0)
            table.add_column(heading, justify="right" if number else "left", min_width=longest_word)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        for line in _notes(report, workload):
            console.print(line, markup=False)
        console.print()
    console.print(_circumstances(report), markup=False)


def write_page(report: Report) -> None:
    """Put the report between the page's markers."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{_markdown(report)}\n{END}{after}", encoding="utf-8")


def _markdown(report: Report) -> str:
    parts = [_circumstances(report), ""]
    for workload, title in report.titles.items():
        headings, rows = _rows(report, workload)
        parts += [f"### {workload}: {title}", "", _line(headings), _line([":--"] + ["--:"] * (len(headings) - 1))]
        parts += [_line(row) for row in rows]
        parts += ["", *(f"- {note}" for note in _notes(report, workload)), ""]
    return "\n".join(parts)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _circumstances(report: Report) -> str:
    machine = report.machine
    named = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    return (
        f"{report.date}, `{report.command}`, {report.seconds} s a point. {machine.cpus} CPUs ({machine.cpu}), "
        f"{machine.system}, shared by the server and the load generator (wrk, one thread). {named}."
    )


def _rows(report: Report, workload: str) -> tuple[list[str], list[list[str]]]:
    """Headings and cells. A point with errors says so in place of its figures: they would be worth nothing."""
    measured = {m.server for m in report.measurements if m.workload == workload}
    mlflow = ["mlflow"] if "mlflow" in measured else []
    headings = [*HEADINGS, *(f"÷ {name}" for name in mlflow)]
    rows = []
    for measurement, point in _points(report, workload):
        cells = [measurement.server, str(point.connections or "–") if point else ""]
        if point is None or point.failed:
            cells.append("failed")
        else:
            cells += _figures(report, workload, measurement.server, point, mlflow)
        rows.append(cells + [""] * (len(headings) - len(cells)))
    return headings, rows


def _figures(report: Report, workload: str, server: str, point: Point, mlflow: list[str]) -> list[str]:
    cells = [f"{point.requests_per_second:,.0f}", _ms(point.p50_ms), _ms(point.p99_ms)]
    if server in {"floor", PREDICT}:
        return cells
    predict = report.point(workload, PREDICT, 0)
    over = "" if point.over_predict_ms is None else _ms(point.over_predict_ms, "+")
    cells += [_ratio(point, report.point(workload, "floor", point.connections)), _ratio(point, predict), over]
    return cells + [_ratio(point, report.point(workload, name, point.connections)) for name in mlflow]


def _points(report: Report, workload: str) -> Iterator[tuple[Measurement, Point | None]]:
    """Every point; a lone None for a server that has none."""
    for measurement in report.measurements:
        if measurement.workload == workload:
            for point in measurement.points or (None,):
                yield measurement, point


def _ms(milliseconds: float, sign: str = "") -> str:
    return f"{milliseconds:{sign},.{0 if abs(milliseconds) >= 100 else 2}f}"


def _ratio(point: Point, base: Point | None) -> str:
    if base is None:
        return ""
    ratio = point.requests_per_second / base.requests_per_second
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.4f}"


def _notes(report: Report, workload: str) -> list[str]:
    notes = []
    for measurement in report.measurements:
        if measurement.workload != workload:
            continue
        name, used = measurement.server, measurement.memory
        if used:
            notes.append(
                f"{name}: memory of its main process PSS {_mib(used.pss_bytes)}, RSS {_mib(used.rss_bytes)}; "
                f"with its children PSS {_mib(used.all_pss_bytes)}."
            )
        if measurement.failure:
            notes.append(f"{name} failed: {measurement.failure}")
        notes += [
            f"{name} failed at {point.connections} connections: {point.refused} answers were errors, "
            f"{point.broken} never came."
            for point in measurement.points
            if point.failed
        ]
    return notes


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"
