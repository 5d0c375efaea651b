"""``make faults``: the faults of the tests, at the size that a release must hold; status 1 when one answer was wrong.

100 swaps between two versions, then a worker killed every 2 seconds for a minute, both at half of what the endpoint
can do on this machine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

import servery
from tests.e2e.faults import CONNECTIONS, kill_under_load, make_load, swap_under_load
from tests.models import save_echo
from tests.servers import Both, both_planes

SWAPS = 100
KILLS = 30
KILL_SECONDS = 2.0
CAPACITY_SECONDS = 5.0


def main() -> int:
    console = Console()
    with deployed() as both:
        capacity = measure_capacity(both)
        console.print(f"capacity: {capacity:.0f} requests/s over {CONNECTIONS} connections; the load is half of it")
        with Progress(console=console) as progress:
            task = progress.add_task(f"{SWAPS} swaps", total=SWAPS)
            swaps = swap_under_load(
                both,
                endpoint="echo",
                swaps=SWAPS,
                per_second=capacity / 2,
                on_swap=lambda done: progress.update(task, completed=done),
            )
        console.print(f"swaps: {swaps}")
        console.print(f"killing a worker every {KILL_SECONDS:g} s, {KILLS} times")
        with servery.Client(both.up.url) as client:
            client.deploy("echo", "models:/echo/1", replicas=2)
        kills = kill_under_load(
            both, endpoint="echo", kills=KILLS, every_seconds=KILL_SECONDS, per_second=capacity / 2, version=1
        )
        console.print(f"kills: {kills}")
    wrong = [*swaps.failures, *swaps.stale, *kills.failures, *kills.stale]
    for sample in wrong[:20]:
        console.print(sample)
    return 1 if wrong else 0


@contextmanager
def deployed() -> Iterator[Both]:
    """Two versions of the echo model, the first at work behind an endpoint that follows an alias."""
    with tempfile.TemporaryDirectory() as folder, both_planes(Path(folder) / "home") as both:
        with servery.Client(both.up.url) as client:
            for version in (1, 2):
                client.register(save_echo(Path(folder) / str(version), version), name="echo")
            client.set_alias("echo", "champion", 1)
            client.deploy("echo", "models:/echo@champion")
        yield both


def measure_capacity(both: Both) -> float:
    """Requests a second that the load's own connections get when they ask without a pause."""

    async def run() -> float:
        load = make_load(both, "echo", per_second=1e6)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(CAPACITY_SECONDS)
        load.stop()
        await running
        return len(load.samples) / CAPACITY_SECONDS

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
