"""``python -m bench``: the floor, the bare model and Servery in one run; ``--peers`` adds mlflow and Triton."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console

from bench import models, peers, report, servers, wrk

_TURNS = 5

Start = Callable[[models.Workload], AbstractContextManager[servers.Service]]


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    console = Console()
    if options.write_docs:
        return _write_docs(console)
    try:
        wrk.require_wrk()
    except wrk.GeneratorMissing as error:
        console.print(str(error), markup=False)
        return 1
    result = _measure_all(options, " ".join(["python -m bench", *arguments]), console)
    report.show(result, console)
    console.print(f"Kept in {report.save(result)}.", markup=False, soft_wrap=True)
    return 1 if any(m.failure or any(p.failed for p in m.points) for m in result.measurements) else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="measure mlflow and Triton too, in their own environments")
    parser.add_argument("--seconds", type=int, default=5, help="how long each point is measured")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[1, 32, 128], help="numbers of connections to measure with"
    )
    parser.add_argument("--workloads", nargs="+", choices=models.NAMES, default=models.NAMES, help="which workloads")
    parser.add_argument(
        "--write-docs", action="store_true", help="only write the latest result into docs/performance.md"
    )
    return parser.parse_args(arguments)


def _write_docs(console: Console) -> int:
    latest = report.latest()
    if latest is None:
        console.print("There is no result yet; run 'python -m bench' first.")
        return 1
    report.write_page(latest)
    console.print(f"Wrote the result of {latest.date} into docs/performance.md.", markup=False)
    return 0


def _measure_all(options: argparse.Namespace, command: str, console: Console) -> report.Report:
    date = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    found: list[report.Measurement] = []
    with tempfile.TemporaryDirectory(prefix="servery-bench-") as folder:
        console.print("Training the models.")
        workloads = [w for w in models.build(Path(folder)) if w.name in options.workloads]
        for workload in workloads:
            for name, start in _contenders(workload, with_peers=options.peers):
                console.print(f"Measuring {name} on {workload.name}.")
                found.append(_measure(workload, name, start, options.connections, options.seconds))
    return report.Report(
        date=date,
        command=command,
        seconds=options.seconds,
        machine=report.this_machine(),
        versions=report.versions() | (peers.VERSIONS if options.peers else {}),
        titles={workload.name: workload.title for workload in workloads},
        measurements=tuple(found),
    )


def _contenders(workload: models.Workload, *, with_peers: bool) -> list[tuple[str, Start | None]]:
    """None stands for the bare model. Triton takes tensors of numbers, so it meets Servery on the array alone."""
    chosen: list[tuple[str, Start | None]] = [("floor", servers.floor), (report.PREDICT, None)]
    chosen.append(("servery", servers.servery))
    if with_peers:
        chosen.append(("mlflow", peers.mlflow))
        if workload.name == "array":
            chosen.append(("triton", peers.triton))
    return chosen


def _measure(
    workload: models.Workload, name: str, start: Start | None, connections: Sequence[int], seconds: int
) -> report.Measurement:
    if start is None:
        return report.Measurement(workload.name, name, (models.measure_predict(workload, seconds),))
    points: list[wrk.Point] = []
    used: servers.Memory | None = None
    try:
        with start(workload) as service:
            for number in connections:
                point = wrk.measure(service.url, service.body, connections=number, seconds=seconds)
                if number == 1 and name != "floor":
                    point = replace(point, over_predict_ms=_over_predict_ms(workload, service))
                points.append(point)
            used = servers.memory(service.process.pid)
    except (servers.ServerFailed, wrk.GeneratorFailed) as error:
        return report.Measurement(workload.name, name, tuple(points), used, str(error))
    return report.Measurement(workload.name, name, tuple(points), used)


def _over_predict_ms(workload: models.Workload, service: servers.Service) -> float:
    """The median of differences between the two p50, each pair measured at once: a machine's speed drifts."""
    differences = []
    for _ in range(_TURNS):
        bare = models.measure_predict(workload, 1.0)
        served = wrk.measure(service.url, service.body, connections=1, seconds=1)
        differences.append(served.p50_ms - bare.p50_ms)
    return median(differences)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
