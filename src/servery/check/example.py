"""The input example, asked for the first time and again; or, where there is none, a request made up in its place."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from servery.check import answers, edges
from servery.check.causes import Kind
from servery.check.course import SLOW_SECONDS, Course
from servery.check.report import Look, Verdict
from servery.check.subject import NoAnswer, Subject
from servery.workers.request import Answer

_REPETITIONS = 3


async def ask_example(course: Course, subject: Subject) -> bytes | None:
    """A request that the model answers, the package's own where it has one; None ends the check."""
    course.say("asking its input example")
    example, recorded = await asyncio.to_thread(answers.recorded_of, course.folder, course.mlmodel.fields)
    own = example is not None
    body = example if example is not None else edges.ordinary_body(course.mlmodel.signature)
    if body is None:
        course.skip_reason = (
            "It was not looked at, as there is neither an input example nor a signature to make one of."
        )
        course.add(Look.EXAMPLE, Verdict.WARNING, "It has no input example: nothing shows that a worker answers it.")
        return None
    course.skip_reason = "It was not looked at, as the model does not answer its example."
    started = course.clock.monotonic()
    try:
        [answer] = await subject.ask([body], timeout_seconds=course.limits.predict_seconds)
    except NoAnswer as error:
        what = "It does not answer its example" if own else "It does not answer"
        cause = course.cause(what, str(error), subject)
        course.add(Look.EXAMPLE, Verdict.BROKEN, cause.sentence, {"kind": cause.kind.value})
        return None
    took_seconds = course.clock.monotonic() - started
    # Only now: what a model needs to predict, it may import when it does.
    course.figures = replace(course.figures, memory_bytes=subject.usage().memory_bytes)
    if not own:
        return _take_made_up(course, subject, body, answer)
    return body if await _take_own(course, subject, body, answer, recorded, took_seconds) else None


async def _take_own(
    course: Course, subject: Subject, body: bytes, answer: Answer, recorded: bytes | None, took_seconds: float
) -> bool:
    finding = answers.judge_example(answer, lambda text: course.cause("It does not answer its example", text, subject))
    course.findings.append(finding)
    if finding.verdict is Verdict.BROKEN:
        return False
    course.findings.append(answers.judge_recorded(answer.body, recorded))
    await _repeat(course, subject, body, answer, recorded, took_seconds)
    return True


def _take_made_up(course: Course, subject: Subject, body: bytes, answer: Answer) -> bytes | None:
    course.add(Look.RECORDED, Verdict.SKIPPED, "There is no recorded answer, as there is no example.")
    if answers.is_answered(answer):
        sentence = "It has no input example; it answered a request made up from its signature, and no worker is proved."
        course.add(Look.EXAMPLE, Verdict.WARNING, sentence)
        return body
    text = answer.body.decode(errors="replace")
    what = "It has no input example, and does not answer what its signature asks for"
    cause = course.cause(what, text, subject)
    verdict = Verdict.WARNING if cause.kind is Kind.OTHER else Verdict.BROKEN
    course.add(Look.EXAMPLE, verdict, cause.sentence, {"kind": cause.kind.value})
    return None


async def _repeat(
    course: Course, subject: Subject, body: bytes, answer: Answer, recorded: bytes | None, took_seconds: float
) -> None:
    """Does it answer the same again? And, where it differs from the recorded answer, is that why?"""
    times = 1 if took_seconds > SLOW_SECONDS else _REPETITIONS
    found, samples_ms = [answer.body], list[float]()
    try:
        for _ in range(times):
            started = course.clock.monotonic()
            [again] = await subject.ask([body], timeout_seconds=course.limits.predict_seconds)
            samples_ms.append((course.clock.monotonic() - started) * 1000)
            found.append(again.body)
    except NoAnswer as error:
        course.add(Look.REPEAT, Verdict.BROKEN, f"It answered its example once and not again: {error}.")
        return
    course.findings.append(answers.judge_repetition(found, is_recorded=recorded is not None))
    course.take_latency(samples_ms)
