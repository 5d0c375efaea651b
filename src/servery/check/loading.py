"""The package in fresh workers: loaded, loaded with nothing but its requirements, and loaded as a gateway does it."""

from __future__ import annotations

import asyncio
import re

from servery.check import answers
from servery.check.course import Course
from servery.check.measure import bytes_text
from servery.check.report import Figures, Finding, Look, Verdict
from servery.check.subject import NoAnswer, Subject
from servery.check.surroundings import hidden_modules
from servery.workers.worker import WorkerFailed

_WARNING = re.compile(r"\b(\w*Warning): (.+)")


async def load(course: Course, subject: Subject) -> bool:
    """Does it load at all? False when there is no use in going on."""
    course.say("loading it in a fresh worker")
    course.skip_reason = "It was not looked at, as the model does not load."
    try:
        seconds = await subject.start(timeout_seconds=course.limits.load_seconds, prove=False)
    except WorkerFailed as error:
        cause = course.cause("It does not load", str(error), subject)
        course.add(Look.LOAD, Verdict.BROKEN, cause.sentence, {"cause": str(error), "kind": cause.kind.value})
        return False
    course.load_printed_bytes = subject.printed_bytes
    memory_bytes = subject.usage().memory_bytes
    course.figures = Figures(load_seconds=round(seconds, 3), memory_bytes=memory_bytes)
    sentence = f"It loads in {seconds:.1f} s and takes {bytes_text(memory_bytes)} of memory."
    warned = _WARNING.search(subject.printed())
    facts = {"seconds": round(seconds, 3), "memory_bytes": memory_bytes, "flavor": subject.facts.get("flavor")}
    if warned is None:
        course.add(Look.LOAD, Verdict.OK, sentence, facts)
    else:
        text = f"{warned[1]}: {warned[2]}".rstrip(".")[:300]
        course.add(Look.LOAD, Verdict.NOTE, f"{sentence[:-1]}; loading warns of {text}.", facts)
    return True


async def look_at_requirements(course: Course, subject: Subject, example: bytes) -> None:
    """In Servery's own environment it may find what its requirements do not bring: here it finds that only."""
    course.say("loading it with nothing but its requirements")
    hidden = await asyncio.to_thread(hidden_modules, course.folder, course.mlmodel.fields)
    what = "It works only because Servery's own environment has more than it requires"
    try:
        await subject.start(timeout_seconds=course.limits.load_seconds, prove=False, hidden=hidden)
        [answer] = await subject.ask([example], timeout_seconds=course.limits.predict_seconds)
    except (WorkerFailed, NoAnswer) as error:
        course.add(Look.REQUIREMENTS, Verdict.WARNING, course.cause(what, str(error), subject).sentence)
        return
    if answers.is_answered(answer):
        course.add(Look.REQUIREMENTS, Verdict.OK, "Its requirements bring all that it imports.")
    else:
        text = answer.body.decode(errors="replace")
        course.add(Look.REQUIREMENTS, Verdict.WARNING, course.cause(what, text, subject).sentence)


async def prove(course: Course, subject: Subject) -> bool:
    """A worker as a gateway starts it; False when there is none to go on with."""
    if course.finds(Verdict.BROKEN):
        course.skip_reason = "It was not looked at, as a gateway would not serve it."
        return False
    course.say("loading it as a gateway does")
    try:
        try:
            await subject.start(timeout_seconds=course.limits.load_seconds)
        except WorkerFailed as error:
            if not error.ended:
                raise
            # What ended it are the example's neighbours, which a gateway leaves out then, too.
            course.changes = ()
            await subject.start(timeout_seconds=course.limits.load_seconds, neighbours=False)
    except WorkerFailed as error:
        course.skip_reason = "It was not looked at, as a worker does not always load it."
        cause = course.cause("It loaded once and not again", str(error), subject)
        course.replace(Finding(Look.LOAD, Verdict.BROKEN, cause.sentence))
        return False
    course.batchable = subject.batchable
    return True
