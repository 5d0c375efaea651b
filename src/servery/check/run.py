"""A check from its beginning to its end: what is looked at in which order, and when there is no use in going on.

Model code runs in workers only, each in a home, a folder for temporary files and a working directory of its own, which
are removed afterwards. Every step has a deadline, and a worker that does not keep it is ended.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from servery.check import answers, edges
from servery.check.bodies import RowsBody, read_rows
from servery.check.causes import Cause, Kind, cause_of
from servery.check.measure import (
    GROWTH_BYTES_MAX,
    GROWTH_SAMPLES,
    Moment,
    bytes_text,
    has_seen_enough,
    judge_growth,
    judge_latency,
    measure_rates,
    percentile,
    sample_latencies,
)
from servery.check.neighbours import look_at_neighbours
from servery.check.outside import judge_output, judge_outside
from servery.check.pickles import scan_package
from servery.check.processes import free_memory_bytes, has_gpu
from servery.check.report import Figures, Finding, Look, Machine, Report, Verdict, recommend
from servery.check.subject import NoAnswer, Package, Subject
from servery.check.surroundings import hidden_modules, unmet_requirement
from servery.check.traces import Scratch
from servery.clock import Clock
from servery.errors import EnvironmentFailed, PackageInvalid
from servery.package.manifest import manifest_of_folder
from servery.package.mlmodel import MLmodel, read_mlmodel
from servery.package.seal import SEAL_FILE, checked_manifest
from servery.version import __version__
from servery.workers.environments.store import Environments, Lease
from servery.workers.request import Answer
from servery.workers.worker import WorkerFailed
from servery_worker.proof import Change

_SLOW_SECONDS = 2.0
"""A model whose predictions take longer is not asked hundreds of times."""
_REPETITIONS = 3
_WARNING = re.compile(r"\b(\w*Warning): (.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each step of a check may take."""

    load_seconds: float = 120.0
    predict_seconds: float = 60.0
    edge_seconds: float = 10.0
    latency_seconds: float = 0.6
    rate_seconds: float = 0.3
    growth_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a check is told about the machine it runs on."""

    environments: Environments
    server_variables: Mapping[str, str]
    own_variables: Mapping[str, str] = field(default_factory=dict)
    """Those that an endpoint would give the model."""
    limits: Limits = field(default_factory=Limits)
    request_timeout_seconds: float = 60.0
    """The gateway's own."""


async def check(
    folder: Path, settings: Settings, clock: Clock, *, model: str, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Look at the package in ``folder``, an absolute path.

    ``model`` is what people call it; ``say`` is told what is being done.

    Raises:
        PackageInvalid: it is no model package.
        OSError: this machine's files cannot be written.
    """
    started = clock.monotonic()
    machine = Machine(os.cpu_count() or 1, free_memory_bytes(), has_gpu(), platform.python_version())
    mlmodel = await asyncio.to_thread(read_mlmodel, folder)
    with tempfile.TemporaryDirectory(prefix="servery-check-", ignore_cleanup_errors=True) as root:
        one = _Check(folder, mlmodel, settings, clock, machine, Scratch(Path(root)), say)
        await one.run()
    fitness, recommendation, advice = recommend(one.findings, one.figures, machine, batchable=one.batchable)
    missing = [look for look in Look if all(finding.look is not look for finding in one.findings)]
    skipped = [Finding(look, Verdict.SKIPPED, one.skip_reason) for look in missing]
    return Report(
        model=model,
        digest=one.digest,
        checked_at_ms=clock.now_ms(),
        took_seconds=round(clock.monotonic() - started, 2),
        servery=__version__,
        machine=machine,
        fitness=fitness,
        recommendation=recommendation,
        settings=advice,
        figures=one.figures,
        findings=tuple(sorted([*one.findings, *skipped], key=lambda finding: list(Look).index(finding.look))),
    )


class _Check:
    """One check on its way. Each step adds its findings; the first that leaves no use in going on ends it."""

    def __init__(
        self,
        folder: Path,
        mlmodel: MLmodel,
        settings: Settings,
        clock: Clock,
        machine: Machine,
        scratch: Scratch,
        say: Callable[[str], None],
    ) -> None:
        # What is found.
        self.findings: list[Finding] = []
        self.figures = Figures()
        self.digest = ""
        self.batchable = False
        self.skip_reason = "It was not looked at, as the check ended before."
        # What it works with.
        self._folder = folder
        self._mlmodel = mlmodel
        self._settings = settings
        self._limits = settings.limits
        self._clock = clock
        self._machine = machine
        self._scratch = scratch
        self._say = say
        self._load_printed_bytes = 0
        self._changes: Sequence[Change] = tuple(Change)
        """By which rows are made neighbours of the example's."""

    async def run(self) -> None:
        package = await self._look_at_files()
        if package is None:
            return
        try:
            self._say("making its Python environment")
            lease = await self._settings.environments.lease(self._folder, self._mlmodel.fields, self._say)
        except EnvironmentFailed as error:
            self.skip_reason = "It was not looked at, as its environment cannot be made."
            self._add(Look.ENVIRONMENT, Verdict.BROKEN, error.message, {"log": error.log[-4000:]})
            return
        try:
            self._look_at_environment(lease)
            self._scratch.make()
            subject = Subject(
                package,
                self._scratch,
                self._clock,
                interpreter=lease.interpreter,
                server_variables=self._settings.server_variables,
                own_variables=self._settings.own_variables,
            )
            try:
                await self._run(subject, lease)
            finally:
                await subject.stop()
            await self._look_outside(subject, package)
        finally:
            lease.close()

    async def _look_at_files(self) -> Package | None:
        self._say("reading its files")
        try:
            manifest = await asyncio.to_thread(checked_manifest, self._folder)
        except PackageInvalid as error:
            self.skip_reason = "It was not looked at, as its files are not what was saved."
            self._add(Look.FILES, Verdict.BROKEN, error.message)
            return None
        files = {entry.path: entry.sha256 for entry in manifest.files}
        self.digest = manifest.digest
        sealed = "as they were saved" if SEAL_FILE in files else "and no seal says how they were saved"
        facts = {"files": len(files), "size_bytes": manifest.size_bytes, "sealed": SEAL_FILE in files}
        size = bytes_text(manifest.size_bytes)
        self._add(Look.FILES, Verdict.OK, f"{len(files)} files, {size}, {sealed}.", facts)
        self.findings.append(await asyncio.to_thread(scan_package, self._folder, files, self._clock))
        return Package(self._folder, self._mlmodel.fields, files)

    def _look_at_environment(self, lease: Lease) -> None:
        about = lease.about.partition("\n")[0]
        facts = {"about": about, "environment": lease.digest}
        if lease.digest is not None:
            self._add(Look.ENVIRONMENT, Verdict.OK, about, facts)
            return
        unmet = unmet_requirement(self._folder, self._mlmodel.fields)
        if unmet is None:
            self._add(Look.ENVIRONMENT, Verdict.OK, about, facts)
        else:
            sentence = f"It ran in the environment of Servery itself, which is not what it asks for: {unmet}."
            self._add(Look.ENVIRONMENT, Verdict.WARNING, sentence, facts)

    async def _run(self, subject: Subject, lease: Lease) -> None:
        if not await self._load(subject):
            return
        example = await self._ask_example(subject)
        if example is None:
            return
        if subject.traces.in_package:
            self.skip_reason = "It was not looked at, as the model changes its own package."
            return
        if lease.digest is None:
            await self._look_at_requirements(subject, example)
        else:
            self._add(Look.REQUIREMENTS, Verdict.OK, "It ran with nothing but what its requirements bring.")
        if not await self._prove(subject):
            return
        if (self.figures.p50_ms or 0) > _SLOW_SECONDS * 1000:
            self.skip_reason = "It was not looked at, as a prediction takes so long."
            return
        try:
            await self._look_at_answers(subject, example)
        except NoAnswer as error:
            self.skip_reason = f"It was not looked at: {error}."
            self._add(Look.LATENCY, Verdict.BROKEN, f"A worker that had answered did not go on: {error}.")

    async def _load(self, subject: Subject) -> bool:
        self._say("loading it in a fresh worker")
        self.skip_reason = "It was not looked at, as the model does not load."
        try:
            seconds = await subject.start(timeout_seconds=self._limits.load_seconds, prove=False)
        except WorkerFailed as error:
            cause = self._cause("It does not load", str(error), subject)
            self._add(Look.LOAD, Verdict.BROKEN, cause.sentence, {"cause": str(error), "kind": cause.kind.value})
            return False
        self._load_printed_bytes = subject.printed_bytes
        memory_bytes = subject.usage().memory_bytes
        self.figures = Figures(load_seconds=round(seconds, 3), memory_bytes=memory_bytes)
        sentence = f"It loads in {seconds:.1f} s and takes {bytes_text(memory_bytes)} of memory."
        warned = _WARNING.search(subject.printed())
        facts = {"seconds": round(seconds, 3), "memory_bytes": memory_bytes, "flavor": subject.facts.get("flavor")}
        if warned is None:
            self._add(Look.LOAD, Verdict.OK, sentence, facts)
        else:
            text = f"{warned[1]}: {warned[2]}".rstrip(".")[:300]
            self._add(Look.LOAD, Verdict.NOTE, f"{sentence[:-1]}; loading warns of {text}.", facts)
        return True

    async def _ask_example(self, subject: Subject) -> bytes | None:
        """A request that the model answers, the package's own where it has one; None ends the check."""
        self._say("asking its input example")
        example, recorded = await asyncio.to_thread(answers.recorded_of, self._folder, self._mlmodel.fields)
        own = example is not None
        body = example if example is not None else edges.ordinary_body(self._mlmodel.signature)
        if body is None:
            self.skip_reason = (
                "It was not looked at, as there is neither an input example nor a signature to make one of."
            )
            self._add(Look.EXAMPLE, Verdict.WARNING, "It has no input example: nothing shows that a worker answers it.")
            return None
        self.skip_reason = "It was not looked at, as the model does not answer its example."
        started = self._clock.monotonic()
        try:
            [answer] = await subject.ask([body], timeout_seconds=self._limits.predict_seconds)
        except NoAnswer as error:
            cause = self._cause("It does not answer its example" if own else "It does not answer", str(error), subject)
            self._add(Look.EXAMPLE, Verdict.BROKEN, cause.sentence, {"kind": cause.kind.value})
            return None
        took_seconds = self._clock.monotonic() - started
        # Only now: what a model needs to predict, it may import when it does.
        self.figures = replace(self.figures, memory_bytes=subject.usage().memory_bytes)
        if not own:
            return self._take_made_up(answer, body, subject)
        finding = answers.judge_example(
            answer, lambda text: self._cause("It does not answer its example", text, subject)
        )
        self.findings.append(finding)
        if finding.verdict is Verdict.BROKEN:
            return None
        self.findings.append(answers.judge_recorded(answer.body, recorded))
        await self._repeat(subject, body, answer, recorded, took_seconds)
        return body

    def _take_made_up(self, answer: Answer, body: bytes, subject: Subject) -> bytes | None:
        self._add(Look.RECORDED, Verdict.SKIPPED, "There is no recorded answer, as there is no example.")
        if answers.is_answered(answer):
            sentence = (
                "It has no input example; it answered a request made up from its signature, and no worker is proved."
            )
            self._add(Look.EXAMPLE, Verdict.WARNING, sentence)
            return body
        text = answer.body.decode(errors="replace")
        cause = self._cause("It has no input example, and does not answer what its signature asks for", text, subject)
        verdict = Verdict.WARNING if cause.kind is Kind.OTHER else Verdict.BROKEN
        self._add(Look.EXAMPLE, verdict, cause.sentence, {"kind": cause.kind.value})
        return None

    async def _repeat(
        self, subject: Subject, body: bytes, answer: Answer, recorded: bytes | None, took_seconds: float
    ) -> None:
        """Does it answer the same again? And, where it differs from the recorded answer, is that why?"""
        times = _REPETITIONS if took_seconds < _SLOW_SECONDS else 1
        found, seconds = [answer.body], [took_seconds]
        try:
            for _ in range(times):
                started = self._clock.monotonic()
                [again] = await subject.ask([body], timeout_seconds=self._limits.predict_seconds)
                seconds.append(self._clock.monotonic() - started)
                found.append(again.body)
        except NoAnswer as error:
            self._add(Look.REPEAT, Verdict.BROKEN, f"It answered its example once and not again: {error}.")
            return
        self.findings.append(answers.judge_repetition(found, is_recorded=recorded is not None))
        self._take_latency([one * 1000 for one in seconds[1:]])

    def _take_latency(self, samples_ms: Sequence[float]) -> None:
        p50_ms, p99_ms = percentile(samples_ms, 50), percentile(samples_ms, 99)
        self.figures = replace(self.figures, p50_ms=round(p50_ms, 3), p99_ms=round(p99_ms, 3))
        timeout_seconds = self._settings.request_timeout_seconds
        finding = judge_latency(p50_ms, p99_ms, len(samples_ms), timeout_seconds=timeout_seconds)
        self.findings = [one for one in self.findings if one.look is not Look.LATENCY] + [finding]

    async def _look_at_requirements(self, subject: Subject, example: bytes) -> None:
        """In Servery's own environment it may find what its requirements do not bring: here it finds that only."""
        self._say("loading it with nothing but its requirements")
        hidden = await asyncio.to_thread(hidden_modules, self._folder, self._mlmodel.fields)
        what = "It works only because Servery's own environment has more than it requires"
        try:
            await subject.start(timeout_seconds=self._limits.load_seconds, prove=False, hidden=hidden)
            [answer] = await subject.ask([example], timeout_seconds=self._limits.predict_seconds)
        except (WorkerFailed, NoAnswer) as error:
            self._add(Look.REQUIREMENTS, Verdict.WARNING, self._cause(what, str(error), subject).sentence)
            return
        if answers.is_answered(answer):
            self._add(Look.REQUIREMENTS, Verdict.OK, "Its requirements bring all that it imports.")
        else:
            text = answer.body.decode(errors="replace")
            self._add(Look.REQUIREMENTS, Verdict.WARNING, self._cause(what, text, subject).sentence)

    async def _prove(self, subject: Subject) -> bool:
        """A worker as a gateway starts it; False when there is none to go on with."""
        if any(finding.verdict is Verdict.BROKEN for finding in self.findings):
            self.skip_reason = "It was not looked at, as a gateway would not serve it."
            return False
        self._say("loading it as a gateway does")
        try:
            try:
                await subject.start(timeout_seconds=self._limits.load_seconds)
            except WorkerFailed as error:
                if not error.ended:
                    raise
                # What ended it are the example's neighbours, which a gateway leaves out then, too.
                self._changes = ()
                await subject.start(timeout_seconds=self._limits.load_seconds, neighbours=False)
        except WorkerFailed as error:
            self.skip_reason = "It was not looked at, as a worker does not always load it."
            cause = self._cause("It loaded once and not again", str(error), subject)
            self._replace(Look.LOAD, Verdict.BROKEN, cause.sentence)
            return False
        self.batchable = subject.batchable
        return True

    async def _look_at_answers(self, subject: Subject, example: bytes) -> None:
        body = read_rows(example)
        self.skip_reason = "It was not looked at."

        async def ask(bodies: Sequence[bytes]) -> list[Answer]:
            return await subject.ask(bodies, timeout_seconds=self._limits.predict_seconds)

        if any(one.look is Look.REPEAT and one.verdict is not Verdict.OK for one in self.findings):
            self._add(
                Look.NEIGHBOURS,
                Verdict.SKIPPED,
                "Whether neighbours change an answer cannot be told, as it answers the same request differently.",
            )
        elif body is None or not body.rows:
            self._add(Look.NEIGHBOURS, Verdict.SKIPPED, "Its example has no rows that could have neighbours.")
        else:
            self._say("asking its rows among others")
            self.findings.append(await look_at_neighbours(body, ask, self._changes, batchable=self.batchable))
        await self._watch_growth(subject, example, body)
        if any(one.verdict is Verdict.BROKEN for one in self.findings if one.look is Look.GROWTH):
            self.skip_reason = "It was not looked at, as each prediction costs what is never given back."
            return  # Hundreds of predictions more would take the machine's memory, or its processes.
        self._say("measuring")
        samples_ms = await sample_latencies([example], ask, self._clock, seconds=self._limits.latency_seconds)
        self._take_latency(samples_ms)
        await self._measure_rates(example, body, ask)
        await self._try_edges(subject, example)

    async def _measure_rates(self, example: bytes, body: RowsBody | None, ask: answers.Ask) -> None:
        rates = await measure_rates(
            example, body, ask, self._clock, batchable=self.batchable, seconds=self._limits.rate_seconds
        )
        self.figures = replace(self.figures, rates=rates)

    async def _watch_growth(self, subject: Subject, example: bytes, body: RowsBody | None) -> None:
        """Many predictions, most of them of different values: what grows, and what is printed?"""
        self._say("looking for what grows")
        bodies = await answers.differing_bodies(subject, example, body, timeout_seconds=self._limits.predict_seconds)
        printed_before = subject.printed_bytes
        moments = [Moment(0, subject.usage())]
        memory_bytes_max = min(GROWTH_BYTES_MAX, self._machine.memory_bytes // 4)
        while not has_seen_enough(moments, memory_bytes_max=memory_bytes_max):
            end, count = self._clock.monotonic() + self._limits.growth_seconds / GROWTH_SAMPLES, moments[-1].predictions
            # Few at first, then more: what leaks much has shown it before it does harm.
            last = 2 * count + 1
            while count == moments[-1].predictions or (self._clock.monotonic() < end and count < last):
                await subject.ask([next(bodies)], timeout_seconds=self._limits.predict_seconds)
                count += 1
            moments.append(Moment(count, subject.usage()))
        self.findings.append(judge_growth(moments))
        printed_bytes = subject.printed_bytes - printed_before
        output = judge_output(printed_bytes, count, subject.printed(), load_bytes=self._load_printed_bytes)
        self.findings.append(output)

    async def _try_edges(self, subject: Subject, example: bytes) -> None:
        observations = []
        seconds = max(self._limits.edge_seconds, (self.figures.p99_ms or 0) / 50)
        for case in edges.cases(self._mlmodel.signature, example):
            self._say(f"trying {case.name}")
            try:
                [answer] = await subject.ask([case.body], timeout_seconds=seconds)
            except NoAnswer as error:
                ending = edges.Ending.HUNG if error.hung else edges.Ending.ENDED
                observations.append(edges.Observation(case, ending, str(error)))
                if sum(one.ending in (edges.Ending.HUNG, edges.Ending.ENDED) for one in observations) > 2:
                    break
                try:
                    await subject.start(timeout_seconds=self._limits.load_seconds, prove=False)
                except WorkerFailed:
                    break
            else:
                text = "" if answers.is_answered(answer) else answer.body.decode(errors="replace")
                observations.append(edges.Observation(case, edges.ENDINGS[answer.outcome], text))
        self.findings.append(edges.judge(observations))

    async def _look_outside(self, subject: Subject, package: Package) -> None:
        changed: list[str] = []
        with suppress(PackageInvalid):
            now = {
                entry.path: entry.sha256 for entry in (await asyncio.to_thread(manifest_of_folder, self._folder)).files
            }
            changed = sorted(path for path in {*now, *package.files} if now.get(path) != package.files.get(path))
        self.findings.append(judge_outside(subject.traces, changed, survivors=subject.survivors))

    def _cause(self, what: str, text: str, subject: Subject) -> Cause:
        return cause_of(what, text, subject.traces, has_gpu=self._machine.has_gpu)

    def _add(self, look: Look, verdict: Verdict, sentence: str, facts: Mapping[str, object] | None = None) -> None:
        self.findings.append(Finding(look, verdict, sentence, facts or {}))

    def _replace(self, look: Look, verdict: Verdict, sentence: str) -> None:
        self.findings = [finding for finding in self.findings if finding.look is not look]
        self._add(look, verdict, sentence)
