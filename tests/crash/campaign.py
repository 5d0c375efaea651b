"""Kills every operation of the registry at every system call that writes, and looks at what is left.

    python -m tests.crash.campaign

Each point starts from a copy of the same home. A point is the entry of a system call: everything before it has
happened, it and everything after it has not. Ends with status 1 when a rule does not hold.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.crash.checker import Snapshot, snapshot, violations
from tests.crash.operations import OPERATIONS, Operation, prepare_home
from tests.crash.tracer import run_traced


@dataclass(frozen=True, slots=True)
class Violation:
    point: int
    system_call: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """An operation's points that were tried, and what did not hold at them."""

    operation: str
    points: int
    violations: tuple[Violation, ...]


class Campaign:
    """Runs operations in a scratch folder, from one prepared home."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._prepared = scratch / "prepared"
        prepare_home(self._prepared)

    def run(self, operation: Operation, *, every: int = 1) -> Report:
        """Kill at each ``every``-th point, until the operation runs to its end untouched."""
        states = self._states(operation)
        found: list[Violation] = []
        for tried in itertools.count():
            point = 1 + tried * every
            with self._home(operation) as home:
                run = run_traced(partial(operation.open, home), kill_at=point)
                allowed = states[run.acknowledged : run.acknowledged + 2]
                messages = _forked(partial(violations, home, allowed=allowed))
            name = run.killed_at or "the end"
            found += [Violation(point, name, message) for message in messages]
            if run.killed_at is None:
                return Report(operation.name, tried, tuple(found))
        raise AssertionError("no operation goes on for ever")

    def _states(self, operation: Operation) -> list[Snapshot]:
        """The rows before the first step and after each. Also imports, in this process, what the steps import."""
        with self._home(operation) as home:
            steps = operation.open(home)
            states = [] if operation.starts_empty else [snapshot(home)]
            for step in steps:
                step()
                states.append(snapshot(home))
        # A start that was stopped is begun again by the next one, so its only state is the one after it.
        return states * 2 if operation.starts_empty else states

    @contextmanager
    def _home(self, operation: Operation) -> Iterator[Path]:
        home = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            if not operation.starts_empty:
                shutil.copytree(self._prepared, home, dirs_exist_ok=True)
            yield home
        finally:
            shutil.rmtree(home)


def _forked(check: Callable[[], list[str]]) -> list[str]:
    """The answer of ``check`` in a process of its own: SQLite keeps locks and files by process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(check()).encode()[:60_000])
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return [str(message) for message in json.loads(answer)]


def main() -> int:
    table = Table("operation", "points", "violations", title="Killed at every writing system call")
    with tempfile.TemporaryDirectory() as scratch:
        campaign = Campaign(Path(scratch))
        reports = [campaign.run(operation) for operation in OPERATIONS]
    for column in table.columns[1:]:
        column.justify = "right"
    for report in reports:
        table.add_row(report.operation, str(report.points), str(len(report.violations)))
    points = sum(report.points for report in reports)
    count = sum(len(report.violations) for report in reports)
    table.add_section()
    table.add_row("total", str(points), str(count))
    console = Console()
    console.print(table)
    for report in reports:
        for violation in report.violations:
            at = f"{report.operation}, point {violation.point} ({violation.system_call})"
            console.print(f"{at}: {violation.message}")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
