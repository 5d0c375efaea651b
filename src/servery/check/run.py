"""A check from its beginning to its end: what is looked at in which order, and when there is no use in going on.

Model code runs in workers only, each in a home, a folder for temporary files and a working directory of its own, which
are removed afterwards. Every step has a deadline, and a worker that does not keep it is ended.
"""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from servery.check.course import Course
from servery.check.example import ask_example
from servery.check.loading import load, look_at_requirements, prove
from servery.check.measure import bytes_text
from servery.check.outside import judge_outside
from servery.check.pickles import scan_package
from servery.check.predictions import look_at_predictions
from servery.check.processes import free_memory_bytes, has_gpu
from servery.check.report import Finding, Look, Machine, Report, Verdict, recommend
from servery.check.settings import Settings
from servery.check.subject import NoAnswer, Package, Subject
from servery.check.surroundings import unmet_requirement
from servery.check.traces import Scratch
from servery.clock import Clock
from servery.errors import EnvironmentFailed, PackageInvalid
from servery.package.manifest import manifest_of_folder
from servery.package.mlmodel import read_mlmodel
from servery.package.seal import SEAL_FILE, checked_manifest
from servery.version import __version__
from servery.workers.environments.store import Lease


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
        course = Course(folder, mlmodel, settings, clock, machine, Scratch(Path(root)), say)
        await _run(course)
    fitness, recommendation, advice = recommend(course.findings, course.figures, machine, batchable=course.batchable)
    missing = [look for look in Look if all(finding.look is not look for finding in course.findings)]
    skipped = [Finding(look, Verdict.SKIPPED, course.skip_reason) for look in missing]
    return Report(
        model=model,
        digest=course.digest,
        checked_at_ms=clock.now_ms(),
        took_seconds=round(clock.monotonic() - started, 2),
        servery=__version__,
        machine=machine,
        fitness=fitness,
        recommendation=recommendation,
        settings=advice,
        figures=course.figures,
        findings=tuple(sorted([*course.findings, *skipped], key=lambda finding: list(Look).index(finding.look))),
    )


async def _run(course: Course) -> None:
    package = await _look_at_files(course)
    if package is None:
        return
    try:
        course.say("making its Python environment")
        lease = await course.settings.environments.lease(course.folder, course.mlmodel.fields, course.say)
    except EnvironmentFailed as error:
        course.skip_reason = "It was not looked at, as its environment cannot be made."
        course.add(Look.ENVIRONMENT, Verdict.BROKEN, error.message, {"log": error.log[-4000:]})
        return
    try:
        _look_at_environment(course, lease)
        course.scratch.make()
        subject = Subject(
            package,
            course.scratch,
            course.clock,
            interpreter=lease.interpreter,
            server_variables=course.settings.server_variables,
            own_variables=course.settings.own_variables,
        )
        try:
            await _look_at_model(course, subject, lease)
        finally:
            await subject.stop()
        await _look_outside(course, subject, package)
    finally:
        lease.close()


async def _look_at_files(course: Course) -> Package | None:
    course.say("reading its files")
    try:
        manifest = await asyncio.to_thread(checked_manifest, course.folder)
    except PackageInvalid as error:
        course.skip_reason = "It was not looked at, as its files are not what was saved."
        course.add(Look.FILES, Verdict.BROKEN, error.message)
        return None
    files = {entry.path: entry.sha256 for entry in manifest.files}
    course.digest = manifest.digest
    sealed = "as they were saved" if SEAL_FILE in files else "and no seal says how they were saved"
    facts = {"files": len(files), "size_bytes": manifest.size_bytes, "sealed": SEAL_FILE in files}
    course.add(Look.FILES, Verdict.OK, f"{len(files)} files, {bytes_text(manifest.size_bytes)}, {sealed}.", facts)
    course.findings.append(await asyncio.to_thread(scan_package, course.folder, files, course.clock))
    return Package(course.folder, course.mlmodel.fields, files)


def _look_at_environment(course: Course, lease: Lease) -> None:
    about = lease.about.partition("\n")[0]
    facts = {"about": about, "environment": lease.digest}
    unmet = None if lease.digest is not None else unmet_requirement(course.folder, course.mlmodel.fields)
    if unmet is None:
        course.add(Look.ENVIRONMENT, Verdict.OK, about, facts)
    else:
        sentence = f"It ran in the environment of Servery itself, which is not what it asks for: {unmet}."
        course.add(Look.ENVIRONMENT, Verdict.WARNING, sentence, facts)


async def _look_at_model(course: Course, subject: Subject, lease: Lease) -> None:
    if not await load(course, subject):
        return
    example = await ask_example(course, subject)
    if example is None:
        return
    if subject.traces.in_package:
        course.skip_reason = "It was not looked at, as the model changes its own package."
        return
    if lease.digest is None:
        await look_at_requirements(course, subject, example)
    else:
        course.add(Look.REQUIREMENTS, Verdict.OK, "It ran with nothing but what its requirements bring.")
    if not await prove(course, subject):
        return
    if course.is_slow:
        course.skip_reason = "It was not looked at, as a prediction takes so long."
        return
    try:
        await look_at_predictions(course, subject, example)
    except NoAnswer as error:
        course.skip_reason = f"It was not looked at: {error}."
        sentence = f"A worker that had answered did not go on: {error}."
        course.replace(Finding(Look.LATENCY, Verdict.BROKEN, sentence))


async def _look_outside(course: Course, subject: Subject, package: Package) -> None:
    changed: list[str] = []
    with suppress(PackageInvalid):
        files = (await asyncio.to_thread(manifest_of_folder, course.folder)).files
        now = {entry.path: entry.sha256 for entry in files}
        changed = sorted(path for path in {*now, *package.files} if now.get(path) != package.files.get(path))
    course.findings.append(judge_outside(subject.traces, changed, survivors=subject.survivors))
