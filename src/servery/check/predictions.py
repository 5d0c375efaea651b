"""Many predictions by one worker: the example's rows among others, what grows, how long they take, and the edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from servery.check import answers, edges
from servery.check.bodies import RowsBody, read_rows
from servery.check.course import Course
from servery.check.measure import (
    GROWTH_BYTES_MAX,
    GROWTH_SAMPLES,
    Moment,
    has_seen_enough,
    judge_growth,
    measure_rates,
    sample_latencies,
)
from servery.check.neighbours import look_at_neighbours
from servery.check.outside import judge_output
from servery.check.report import Look, Verdict
from servery.check.subject import NoAnswer, Subject
from servery.workers.request import Answer
from servery.workers.worker import WorkerFailed

_FAULTS_MAX = 2
"""Where more requests at the edges end a worker or make it hang, no other is tried."""


async def look_at_predictions(course: Course, subject: Subject, example: bytes) -> None:
    """Raises NoAnswer when the worker does not answer what it has answered before."""
    body = read_rows(example)
    course.skip_reason = "It was not looked at."

    async def ask(bodies: Sequence[bytes]) -> list[Answer]:
        return await subject.ask(bodies, timeout_seconds=course.limits.predict_seconds)

    await _look_at_neighbours(course, body, ask)
    await _watch_growth(course, subject, example, body)
    if course.finds(Verdict.BROKEN, Look.GROWTH):
        course.skip_reason = "It was not looked at, as each prediction costs what is never given back."
        return  # Hundreds of predictions more would take the machine's memory, or its processes.
    course.say("measuring")
    limits, clock = course.limits, course.clock
    course.take_latency(await sample_latencies([example], ask, clock, seconds=limits.latency_seconds))
    rates = await measure_rates(example, body, ask, clock, batchable=course.batchable, seconds=limits.rate_seconds)
    course.figures = replace(course.figures, rates=rates)
    await _try_edges(course, subject, example)


async def _look_at_neighbours(course: Course, body: RowsBody | None, ask: answers.Ask) -> None:
    if any(one.look is Look.REPEAT and one.verdict is not Verdict.OK for one in course.findings):
        course.add(
            Look.NEIGHBOURS,
            Verdict.SKIPPED,
            "Whether neighbours change an answer cannot be told, as it answers the same request differently.",
        )
    elif body is None or not body.rows:
        course.add(Look.NEIGHBOURS, Verdict.SKIPPED, "Its example has no rows that could have neighbours.")
    else:
        course.say("asking its rows among others")
        course.findings.append(await look_at_neighbours(body, ask, course.changes, batchable=course.batchable))


async def _watch_growth(course: Course, subject: Subject, example: bytes, body: RowsBody | None) -> None:
    """Many predictions, most of them of different values: what grows, and what is printed?"""
    course.say("looking for what grows")
    limits, clock = course.limits, course.clock
    bodies = await answers.differing_bodies(subject, example, body, timeout_seconds=limits.predict_seconds)
    printed_before = subject.printed_bytes
    moments = [Moment(0, subject.usage())]
    memory_bytes_max = min(GROWTH_BYTES_MAX, course.machine.memory_bytes // 4)
    while not has_seen_enough(moments, memory_bytes_max=memory_bytes_max):
        end, count = clock.monotonic() + limits.growth_seconds / GROWTH_SAMPLES, moments[-1].predictions
        # Few at first, then more: what leaks much has shown it before it does harm.
        last = 2 * count + 1
        while count == moments[-1].predictions or (clock.monotonic() < end and count < last):
            await subject.ask([next(bodies)], timeout_seconds=limits.predict_seconds)
            count += 1
        moments.append(Moment(count, subject.usage()))
    course.findings.append(judge_growth(moments))
    printed_bytes = subject.printed_bytes - printed_before
    output = judge_output(printed_bytes, count, subject.printed(), load_bytes=course.load_printed_bytes)
    course.findings.append(output)


async def _try_edges(course: Course, subject: Subject, example: bytes) -> None:
    observations = []
    seconds = max(course.limits.edge_seconds, (course.figures.p99_ms or 0) / 50)
    for case in edges.cases(course.mlmodel.signature, example):
        course.say(f"trying {case.name}")
        try:
            [answer] = await subject.ask([case.body], timeout_seconds=seconds)
        except NoAnswer as error:
            ending = edges.Ending.HUNG if error.hung else edges.Ending.ENDED
            observations.append(edges.Observation(case, ending, str(error)))
            if sum(one.ending in (edges.Ending.HUNG, edges.Ending.ENDED) for one in observations) > _FAULTS_MAX:
                break
            try:
                await subject.start(timeout_seconds=course.limits.load_seconds, prove=False)
            except WorkerFailed:
                break
        else:
            text = "" if answers.is_answered(answer) else answer.body.decode(errors="replace")
            observations.append(edges.Observation(case, edges.ENDINGS[answer.outcome], text))
    course.findings.append(edges.judge(observations))
