"""``python -m bench.starts``: from nothing to the first answer, beside mlflow and beside uv alone, in one run.

Three figures, each the median of several turns that alternate with what it is compared with:

- servery serve with an environment of the model's own that is there already, from the start of the process to the first
  right answer; the same in Servery's own environment; and ``mlflow models serve --env-manager local``;
- a new environment, made by Servery and by ``uv venv`` and ``uv pip install`` alone, from the same filled cache.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import TypeVar

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import models
from bench.servers import ServerFailed, free_port, scored
from servery.clock import SystemClock
from servery.config import EnvManager, package_sources
from servery.package.mlmodel import read_mlmodel
from servery.package.uv import find_uv
from servery.workers.environments.store import Environments

SubjectT = TypeVar("SubjectT")
_START_SECONDS = 120.0
_POLL_SECONDS = 0.01


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.starts", description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args(arguments).turns
    console = Console()
    with tempfile.TemporaryDirectory(prefix="servery-bench-") as folder:
        [workload, *_] = models.build(Path(folder))
        console.print("Made the model; the first turn of each is not counted.")
        starts = _measure_starts(workload, Path(folder), turns)
        builds = _measure_builds(workload, Path(folder), turns)
    console.print(_table("Seconds from the start of the process to the first right answer", starts, "mlflow"))
    console.print(_table("Seconds to make a new environment from a filled cache", builds, "uv alone"))
    return 0


def _measure_starts(workload: models.Workload, folder: Path, turns: int) -> dict[str, list[float]]:
    package, servery = str(workload.package), str(Path(sys.executable).with_name("servery"))
    mlflow = str(Path(sys.executable).with_name("mlflow"))

    def serve(manager: str) -> list[str]:
        return [servery, "serve", package, "--env-manager", manager, "--home", str(folder / "home"), "-p"]

    commands = {
        "servery, the model's own environment": serve("uv"),
        "servery, Servery's own environment": serve("local"),
        "mlflow": [mlflow, "models", "serve", "--model-uri", package, "--env-manager", "local", "--port"],
    }
    return _alternate(commands, lambda command: _first_answer(command, workload), turns)


def _measure_builds(workload: models.Workload, folder: Path, turns: int) -> dict[str, list[float]]:
    places = iter(range(10_000))

    def by_servery(_: object) -> float:
        home = folder / f"servery-{next(places)}"
        made = Environments(home, EnvManager.UV, package_sources(), SystemClock(), build_timeout_seconds=600)
        fields = read_mlmodel(workload.package).fields
        started = time.perf_counter()
        asyncio.run(made.lease(workload.package, fields)).close()
        return time.perf_counter() - started

    def by_uv(_: object) -> float:
        venv = str(folder / f"uv-{next(places)}")
        lock = workload.package / "requirements.lock"
        which = lock if lock.exists() else workload.package / "requirements.txt"
        started = time.perf_counter()
        subprocess.run([find_uv(), "venv", "--quiet", "--python", sys.executable, venv], check=True)
        install = ["pip", "install", "--quiet", "--python", f"{venv}/bin/python", "-r", str(which)]
        subprocess.run([find_uv(), *install], check=True)
        return time.perf_counter() - started

    return _alternate({"servery": by_servery, "uv alone": by_uv}, lambda build: build(None), turns)


def _alternate(
    subjects: dict[str, SubjectT], measure: Callable[[SubjectT], float], turns: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in track(range(turns + 1), description=", ".join(subjects)):
        for name, subject in subjects.items():
            seconds = measure(subject)
            if turn > 0:
                found[name].append(seconds)
    return found


def _first_answer(command: list[str], workload: models.Workload) -> float:
    """Seconds from the start of the process to its first right answer. Raises ServerFailed."""
    port, right, body = free_port(), scored(workload), workload.body.read_bytes()
    headers = {"Content-Type": "application/json"}
    # One client for all tries: to make one for each would keep one of the machine's cores busy.
    client = httpx.Client(timeout=_START_SECONDS, trust_env=False)
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, str(port)],
        # mlflow starts its server by name.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while time.perf_counter() - started < _START_SECONDS and process.poll() is None:
            try:
                url = f"http://127.0.0.1:{port}/invocations"
                answer = client.post(url, content=body, headers=headers)
            except httpx.TransportError:
                time.sleep(_POLL_SECONDS)
                continue
            if answer.status_code == 200 and right(answer.json()):
                return time.perf_counter() - started
        raise ServerFailed(f"{command[0]} gave no right answer within {_START_SECONDS:g} s.")
    finally:
        client.close()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _table(title: str, found: dict[str, list[float]], base: str) -> Table:
    table = Table(title=title)
    for head in ("", "median", "least", "most", f"÷ {base}", f"more than {base}"):
        table.add_column(head, justify="left" if not head else "right")
    for name, seconds in found.items():
        middle, other = median(seconds), median(found[base])
        figures = (middle, min(seconds), max(seconds), middle / other, middle - other)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
