"""A check on its way: what it works with, and what it has found so far. Each step takes it, and adds to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from servery.check.causes import Cause, cause_of
from servery.check.measure import judge_latency, percentile
from servery.check.report import Figures, Finding, Look, Machine, Verdict
from servery.check.settings import Limits, Settings
from servery.check.subject import Subject
from servery.check.traces import Scratch
from servery.clock import Clock
from servery.package.mlmodel import MLmodel
from servery_worker.proof import Change

SLOW_SECONDS = 2.0
"""A model whose predictions take longer is not asked hundreds of times."""


@dataclass
class Course:
    """One check. ``skip_reason`` is the sentence for all that is not looked at when it ends now."""

    folder: Path
    mlmodel: MLmodel
    settings: Settings
    clock: Clock
    machine: Machine
    scratch: Scratch
    say: Callable[[str], None]
    """Told what is being done."""
    digest: str = ""
    findings: list[Finding] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    batchable: bool = False
    skip_reason: str = "It was not looked at, as the check ended before."
    load_printed_bytes: int = 0
    changes: Sequence[Change] = tuple(Change)
    """By which rows are made neighbours of the example's."""

    @property
    def limits(self) -> Limits:
        return self.settings.limits

    @property
    def is_slow(self) -> bool:
        """Does a prediction, as far as it was measured, take too long for hundreds of them?"""
        return (self.figures.p50_ms or 0) > SLOW_SECONDS * 1000

    def finds(self, verdict: Verdict, *looks: Look) -> bool:
        """Was this found, at one of these looks or at any?"""
        return any(one.verdict is verdict and (not looks or one.look in looks) for one in self.findings)

    def add(self, look: Look, verdict: Verdict, sentence: str, facts: Mapping[str, object] | None = None) -> None:
        self.findings.append(Finding(look, verdict, sentence, facts or {}))

    def replace(self, finding: Finding) -> None:
        """In place of what this look has found before."""
        self.findings = [one for one in self.findings if one.look is not finding.look] + [finding]

    def cause(self, what: str, text: str, subject: Subject) -> Cause:
        """Why ``what`` went wrong, from what was said of it and what the worker did."""
        return cause_of(what, text, subject.traces, has_gpu=self.machine.has_gpu)

    def take_latency(self, samples_ms: Sequence[float]) -> None:
        p50_ms, p99_ms = percentile(samples_ms, 50), percentile(samples_ms, 99)
        self.figures = replace(self.figures, p50_ms=round(p50_ms, 3), p99_ms=round(p99_ms, 3))
        timeout_seconds = self.settings.request_timeout_seconds
        self.replace(judge_latency(p50_ms, p99_ms, len(samples_ms), timeout_seconds=timeout_seconds))
