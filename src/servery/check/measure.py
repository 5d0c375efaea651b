"""What a loaded model costs: latency, requests and rows a second by batch size; and what grows with predictions."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from servery.check.bodies import RowsBody
from servery.check.processes import Usage
from servery.check.report import Finding, Look, Rate, Verdict
from servery.clock import Clock
from servery.workers.request import Answer

Ask = Callable[[Sequence[bytes]], Awaitable[list[Answer]]]

BATCH_SIZES = (1, 8, 32, 128)
_SAMPLES_MAX = 2000
_SAMPLES_MIN = 3
GROWTH_SAMPLES = 16
GROWTH_BYTES_MAX = 512 << 20
"""A model that has leaked so much has shown it."""
_LEAK_BYTES_MIN = 1 << 20
"""Less than this in a whole run is what any allocator does."""
_DOUBTFUL_BYTES = 128 << 10
_FATAL_BYTES = (1 << 30) // 10_000
"""A gigabyte in ten thousand predictions."""
_SLOW_MS, _VERY_SLOW_MS = 500.0, 3000.0


async def sample_latencies(bodies: Sequence[bytes], ask: Ask, clock: Clock, *, seconds: float) -> list[float]:
    """Milliseconds of each prediction of ``bodies`` together, for so long, after one to warm up; raises NoAnswer."""
    await ask(bodies)
    end = clock.monotonic() + seconds
    found: list[float] = []
    while len(found) < _SAMPLES_MIN or (clock.monotonic() < end and len(found) < _SAMPLES_MAX):
        started = clock.monotonic()
        await ask(bodies)
        found.append((clock.monotonic() - started) * 1000)
    return found


async def measure_rates(
    example: bytes, body: RowsBody | None, ask: Ask, clock: Clock, *, batchable: bool, seconds: float
) -> tuple[Rate, ...]:
    """For each batch size: so many requests together where that is right, else one request of so many rows."""
    row_count = max(1, len(body.rows)) if body is not None else 1
    rates = []
    for size in BATCH_SIZES:
        if batchable or size == 1:
            bodies, requests, rows = [example] * size, size, size * row_count
        elif body is not None and body.rows:
            bodies = [body.encode([body.rows[index % row_count] for index in range(size)])]
            requests, rows = 1, size
        else:
            break
        samples = await sample_latencies(bodies, ask, clock, seconds=seconds)
        mean_seconds = sum(samples) / len(samples) / 1000
        rates.append(
            Rate(
                size,
                round(requests / mean_seconds, 1),
                round(rows / mean_seconds, 1),
                round(percentile(samples, 50), 3),
                round(percentile(samples, 99), 3),
            )
        )
    return tuple(rates)


def percentile(samples: Sequence[float], percent: int) -> float:
    """By the nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


def judge_latency(p50_ms: float, p99_ms: float, count: int, *, timeout_seconds: float) -> Finding:
    """How long a prediction takes, held against a gateway's deadline for a request."""
    facts = {"p50_ms": round(p50_ms, 3), "p99_ms": round(p99_ms, 3), "predictions": count}
    shown = f"A prediction takes {duration_text(p50_ms)}"
    if p50_ms > timeout_seconds * 1000:
        sentence = f"{shown}, and every caller runs into the gateway's timeout of {timeout_seconds:g} s."
        return Finding(Look.LATENCY, Verdict.BROKEN, sentence, facts)
    if p50_ms > _VERY_SLOW_MS:
        many = int(timeout_seconds * 1000 // p50_ms)
        sentence = (
            f"{shown}, which is slow: a worker answers {60_000 / p50_ms:.2g} a minute, and of callers who ask at "
        )
        sentence += f"once all but {many} run into the gateway's timeout of {timeout_seconds:g} s."
        return Finding(Look.LATENCY, Verdict.WARNING, sentence, facts)
    sentence = f"{shown} (p99 {duration_text(p99_ms)}, {count} asked one after another)."
    return Finding(Look.LATENCY, Verdict.NOTE if p50_ms > _SLOW_MS else Verdict.OK, sentence, facts)


def duration_text(ms: float) -> str:
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 100 else f"{ms:.2g} ms"


@dataclass(frozen=True, slots=True)
class Moment:
    """What a worker used after so many predictions."""

    predictions: int
    usage: Usage


def judge_growth(moments: Sequence[Moment]) -> Finding:
    """What grows with every prediction, in one sentence. The first quarter is for warming up."""
    steady = moments[len(moments) // 4 :]
    first, last = steady[0], steady[-1]
    count = last.predictions - first.predictions
    if count <= 0:
        return Finding(Look.GROWTH, Verdict.SKIPPED, "Whether it leaks cannot be told from so few predictions.")
    memory = _steady_growth(steady, [moment.usage.memory_bytes for moment in steady])
    reserved = _steady_growth(steady, [moment.usage.reserved_bytes for moment in steady])
    grown = max(memory, reserved)
    facts = {"predictions": count, "memory_bytes": memory, "reserved_bytes": reserved}
    for what, before, after in (
        ("a process", first.usage.process_count, last.usage.process_count),
        ("a thread", first.usage.thread_count, last.usage.thread_count),
        ("an open file", first.usage.file_count, last.usage.file_count),
    ):
        more = after - before
        facts[what] = more
        if more >= max(3, count // 2):
            sentence = f"Each prediction leaves {what} behind: {more} more after {count} predictions."
            return Finding(Look.GROWTH, Verdict.BROKEN, sentence, facts)
        if more >= max(3, count // 20):
            sentence = f"Predictions leave {what} behind now and then: {more} more after {count} predictions."
            return Finding(Look.GROWTH, Verdict.WARNING, sentence, facts)
    if grown >= _LEAK_BYTES_MIN:
        each = grown / count
        verdict = Verdict.BROKEN if each >= _FATAL_BYTES else Verdict.WARNING
        sentence = f"It leaks memory: {bytes_text(each)} more with every prediction ({bytes_text(grown)} in {count})."
        return Finding(Look.GROWTH, verdict, sentence, facts)
    return Finding(Look.GROWTH, Verdict.OK, f"Nothing grew in {count} predictions.", facts)


def has_seen_enough(moments: Sequence[Moment], *, memory_bytes_max: int) -> bool:
    """Is there no use in more predictions? They go on where memory has grown steadily, but by too little to say so;
    and end before a model that leaks much has taken the machine's memory.
    """
    if moments[-1].usage.memory_bytes - moments[0].usage.memory_bytes > memory_bytes_max:
        return True
    if len(moments) <= GROWTH_SAMPLES:
        return False
    steady = moments[len(moments) // 4 :]
    grown = _steady_growth(steady, [one.usage.memory_bytes for one in steady])
    return not _DOUBTFUL_BYTES < grown < _LEAK_BYTES_MIN or len(moments) > 3 * GROWTH_SAMPLES


def _steady_growth(moments: Sequence[Moment], values: Sequence[int]) -> int:
    """How much ``values`` grew over the moments, if they did so by the prediction in each third; else nothing."""
    third = (len(values) - 1) // 3
    if third < 1:
        return 0
    cuts = [(moments[at].predictions, values[at]) for at in (0, third, 2 * third, -1)]
    rates = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in itertools.pairwise(cuts)]
    total = values[-1] - values[0]
    return total if min(rates) > total / (cuts[-1][0] - cuts[0][0]) / 10 else 0


def bytes_text(size_bytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"
