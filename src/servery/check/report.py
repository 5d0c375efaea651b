"""What a check found: a sentence and a verdict for each thing it looked at, figures, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

_SENTENCE_SHOWN = 200
REPORT_VERSION = 1
"""Grows with every change that a reader of the JSON form would misread."""


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "OK"
    NOTE = "NOTE"
    """Worth knowing; nothing to mend."""
    WARNING = "WARNING"
    """It serves, and somebody will be surprised one day."""
    BROKEN = "BROKEN"
    """It does not serve, or does harm where it does."""
    SKIPPED = "SKIPPED"
    """It was not looked at; the sentence says why."""


class Look(StrEnum):
    """What is looked at, in this order."""

    FILES = "files"
    PICKLES = "pickles"
    ENVIRONMENT = "environment"
    LOAD = "load"
    EXAMPLE = "example"
    RECORDED = "recorded answer"
    REPEAT = "repetition"
    REQUIREMENTS = "requirements"
    NEIGHBOURS = "neighbours"
    EDGES = "edges"
    LATENCY = "latency"
    GROWTH = "growth"
    OUTPUT = "output"
    OUTSIDE = "outside"


class Fitness(StrEnum):
    FIT = "fit"
    NOTES = "fit with notes"
    UNFIT = "not fit"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``facts`` are JSON types, for programs."""

    look: Look
    verdict: Verdict
    sentence: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rate:
    """What a worker gave when so many requests were predicted together, or one request of so many rows."""

    size: int
    requests_per_second: float
    rows_per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; None where it was not."""

    load_seconds: float | None = None
    memory_bytes: int | None = None
    """Of the worker and what it started, once it had loaded; shared pages by their part."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """What to deploy it with, on a machine like this one."""

    replicas: int
    batching: bool
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the check ran."""

    cores: int
    memory_bytes: int
    """What was free when the check began."""
    has_gpu: bool
    python: str


@dataclass(frozen=True, slots=True)
class Report:
    model: str
    digest: str
    checked_at_ms: int
    took_seconds: float
    servery: str
    machine: Machine
    fitness: Fitness
    recommendation: str
    settings: Settings | None
    figures: Figures
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON types only; what the registry keeps and ``--json`` prints."""
        return {"version": REPORT_VERSION, **asdict(self)}


def recommend(
    findings: Sequence[Finding], figures: Figures, machine: Machine, *, batchable: bool
) -> tuple[Fitness, str, Settings | None]:
    """Is it fit to be deployed, in one sentence, and with which settings."""
    broken = [finding for finding in findings if finding.verdict is Verdict.BROKEN]
    if broken:
        others = f" ({len(broken) - 1} more)" if len(broken) > 1 else ""
        return Fitness.UNFIT, f"Not fit to deploy{others}: {_short(broken[0].sentence)}", None
    settings = _settings(figures, machine, batchable=batchable)
    how = f"{settings.replicas} replica{'s' if settings.replicas > 1 else ''} on a machine like this one, "
    how += (
        f"requests predicted {'together' if batchable else 'one by one'}, a timeout of {settings.timeout_seconds:g} s"
    )
    warned = [finding.look.value for finding in findings if finding.verdict is Verdict.WARNING]
    if warned:
        return Fitness.NOTES, f"Fit to deploy once you have read on {_listed(warned)}: {how}.", settings
    return Fitness.FIT, f"Fit to deploy: {how}.", settings


def _settings(figures: Figures, machine: Machine, *, batchable: bool) -> Settings:
    # One core is the gateway's, and half of the memory is everybody else's.
    replicas = max(1, machine.cores - 1)
    if figures.memory_bytes:
        replicas = max(1, min(replicas, machine.memory_bytes // 2 // figures.memory_bytes))
    slowest_seconds = (figures.p99_ms or 0.0) / 1000
    steps = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
    timeout_seconds = next((step for step in steps if step >= slowest_seconds * 5), steps[-1])
    return Settings(replicas, batchable, timeout_seconds)


def _short(sentence: str) -> str:
    """Without what was said in detail, where that is long; and no longer than its first words then."""
    if len(sentence) <= _SENTENCE_SHOWN:
        return sentence
    start = sentence.partition(" (")[0].rstrip(".")
    return f"{start}." if len(start) < _SENTENCE_SHOWN else f"{start[:_SENTENCE_SHOWN].rpartition(' ')[0]}…"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
