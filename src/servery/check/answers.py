"""The input example and its answer: given, as it was recorded, the same again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from servery.check.bodies import RowsBody, leaves_of, shifted
from servery.check.causes import Cause
from servery.check.report import Finding, Look, Verdict
from servery.check.subject import Subject
from servery.workers.request import Answer
from servery_worker.proof import first_difference
from servery_worker.wire import Outcome

Ask = Callable[[Sequence[bytes]], Awaitable[list[Answer]]]

_EXAMPLE_BYTES_MAX = 16 << 20
_SHOWN = 200
_DIFFERENT_BODIES = 512


def recorded_of(folder: Path, mlmodel: Mapping[str, Any]) -> tuple[bytes | None, bytes | None]:
    """The input example as a request, and the answer that was recorded for it; None for what is not there."""
    info = mlmodel.get("saved_input_example_info") or {}
    example = _read(folder / str(info.get("serving_input_path") or "serving_input_example.json"))
    own = mlmodel.get("servery") or {}
    recorded = _read(folder / str(own["example_output"])) if own.get("example_output") else None
    return example, recorded


def _read(file: Path) -> bytes | None:
    if not file.is_file() or file.stat().st_size > _EXAMPLE_BYTES_MAX:
        return None
    content = file.read_bytes()
    try:
        json.loads(content)
    except ValueError:
        return None
    return content


def is_answered(answer: Answer) -> bool:
    return answer.outcome is Outcome.OK


def judge_example(answer: Answer, cause: Callable[[str], Cause]) -> Finding:
    """What the answer to the example shows; ``cause`` says why where there is none."""
    text = answer.body.decode(errors="replace")
    if not is_answered(answer):
        found = cause(text)
        return Finding(Look.EXAMPLE, Verdict.BROKEN, found.sentence, {"kind": found.kind.value})
    leaves = leaves_of(json.loads(answer.body))
    empty = [leaf for leaf in leaves if leaf is None]
    if leaves and len(empty) == len(leaves):
        sentence = "Its answer to its example holds nothing but nulls, which is how JSON has NaN."
        return Finding(Look.EXAMPLE, Verdict.WARNING, sentence, {"answer": text[:_SHOWN]})
    if empty:
        sentence = f"It answers its example, with {len(empty)} of {len(leaves)} values null or NaN."
        return Finding(Look.EXAMPLE, Verdict.NOTE, sentence, {"answer": text[:_SHOWN]})
    return Finding(Look.EXAMPLE, Verdict.OK, "It answers its example.", {"answer": text[:_SHOWN]})


def judge_recorded(answer: bytes, recorded: bytes | None) -> Finding:
    if recorded is None:
        sentence = "No answer to the example is recorded: that it answers is proved, and not what."
        return Finding(Look.RECORDED, Verdict.NOTE, sentence)
    difference = first_difference(json.loads(recorded), json.loads(answer))
    if difference is None:
        return Finding(Look.RECORDED, Verdict.OK, "The answer is the recorded one.")
    sentence = f"It answers its example otherwise than recorded: {difference}."
    return Finding(Look.RECORDED, Verdict.BROKEN, sentence, {"difference": difference})


def judge_repetition(found: Sequence[bytes], *, is_recorded: bool) -> Finding:
    """Whether all answers to the same request are the same."""
    first, *others = (json.loads(answer) for answer in found)
    differences = (first_difference(first, other) for other in others)
    difference = next((one for one in differences if one is not None), None)
    if difference is None:
        sentence = f"It gives the same answer when it is asked again, {len(found)} times in all."
        return Finding(Look.REPEAT, Verdict.OK, sentence)
    sentence = f"It answers the same request differently each time: {difference}."
    if is_recorded:
        sentence = f"{sentence[:-1]}; no recorded answer can prove a worker."
    return Finding(Look.REPEAT, Verdict.WARNING, sentence, {"difference": difference})


async def differing_bodies(
    subject: Subject, example: bytes, body: RowsBody | None, *, timeout_seconds: float
) -> Iterator[bytes]:
    """The example and requests like it, without end; the example alone where the model answers no other."""
    if body is None or not body.rows:
        return itertools.repeat(example)
    made = [body.encode([shifted(row, step) for row in body.rows]) for step in range(1, _DIFFERENT_BODIES)]
    for one in (made[0], made[-1]):
        [answer] = await subject.ask([one], timeout_seconds=timeout_seconds)
        if not is_answered(answer):
            return itertools.repeat(example)
    return itertools.cycle([example, *made])
