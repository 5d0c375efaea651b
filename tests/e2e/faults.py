"""Faults under load, and what callers saw of them: used small by the tests, large by ``make faults``."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles

import servery
from tests.load import Load, Outcome, Sample
from tests.models import echo_body, is_echo
from tests.servers import Both

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Swap:
    """When a swap was asked for and acknowledged, and the version that answers from then on."""

    asked: float
    acknowledged: float
    version: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a load saw. ``stale`` are answers of the old version to requests sent after a swap was acknowledged."""

    samples: list[Sample]
    stale: list[Sample]
    actions: int

    @property
    def failures(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.outcome is not Outcome.OK]

    @property
    def p99_seconds(self) -> float:
        return quantiles([sample.answered - sample.sent for sample in self.samples], n=100)[98]

    def __str__(self) -> str:
        seconds = self.samples[-1].answered - self.samples[0].sent
        return (
            f"{self.actions} actions, {len(self.samples)} requests at {len(self.samples) / seconds:.0f}/s, "
            f"{len(self.failures)} failed, {len(self.stale)} stale, p99 {self.p99_seconds * 1000:.1f} ms"
        )


def make_load(both: Both, endpoint: str, per_second: float) -> Load:
    path = f"/endpoints/{endpoint}/invocations"
    return Load(both.gateway_port, path, echo_body, is_echo, connections=CONNECTIONS, per_second=per_second)


def swap_under_load(
    both: Both, *, endpoint: str, swaps: int, per_second: float, on_swap: Callable[[int], None] = lambda done: None
) -> Report:
    """Move the alias that ``endpoint`` follows between versions 1 and 2 of its model, while a load runs."""

    async def run() -> Report:
        load = make_load(both, endpoint, per_second)
        running = asyncio.create_task(load.run())
        loop = asyncio.get_running_loop()
        swapped: list[Swap] = []
        with servery.Client(both.up.url) as client:
            for done in range(swaps):
                version = 2 if done % 2 == 0 else 1
                asked = loop.time()
                await asyncio.to_thread(client.set_alias, endpoint, "champion", version)
                swapped.append(Swap(asked, loop.time(), f"{endpoint}/{version}"))
                on_swap(done + 1)
                await asyncio.sleep(0.1)
        load.stop()
        await running
        return Report(load.samples, stale_samples(load.samples, swapped), swaps)

    return asyncio.run(run())


def kill_under_load(
    both: Both, *, endpoint: str, kills: int, every_seconds: float, per_second: float, version: int
) -> Report:
    """Kill a worker with signal 9 again and again, while a load runs."""

    async def run() -> Report:
        load = make_load(both, endpoint, per_second)
        running = asyncio.create_task(load.run())
        for _ in range(kills):
            await asyncio.sleep(every_seconds)
            workers = await asyncio.to_thread(both.up.workers)
            workers[0].send_signal(signal.SIGKILL)
        await asyncio.sleep(every_seconds)
        load.stop()
        await running
        stale = [sample for sample in load.samples if sample.version != f"{endpoint}/{version}"]
        return Report(load.samples, stale, kills)

    return asyncio.run(run())


def stale_samples(samples: list[Sample], swaps: list[Swap]) -> list[Sample]:
    """The answers of a version that had been replaced, for certain, before the request was sent."""
    ends = [swap.asked for swap in swaps[1:]] + [float("inf")]
    return [
        sample
        for swap, end in zip(swaps, ends, strict=True)
        for sample in samples
        if swap.acknowledged <= sample.sent < end and sample.version not in {swap.version, ""}
    ]
