"""Do the rows beside a row change its answer? Asked of the example's rows, alone and among others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from servery.check.bodies import RowsBody, answers_of
from servery.check.report import Finding, Look, Verdict
from servery.workers.request import Answer
from servery_worker.proof import Change, first_difference, varied
from servery_worker.wire import Outcome

Ask = Callable[[Sequence[bytes]], Awaitable[list[Answer]]]
"""Requests that are sent together, to their answers."""

_ROWS_MAX = 4
_CROWD = 32


@dataclass(frozen=True, slots=True)
class _Row:
    cells: Any
    alone: Any
    """Its answer, when nothing else is asked with it."""


async def look_at_neighbours(body: RowsBody, ask: Ask, changes: Iterable[Change], *, batchable: bool) -> Finding:
    """Whether an answer depends on its neighbours, which are the example's rows with ``changes``; raises NoAnswer as
    ``ask`` does.
    """
    rows = await _answered_rows(body, ask, changes)
    if len(rows) < 2:
        return _skipped("the example has no two rows, and none like it, that get an answer each")
    crowds = [rows, rows[::-1], [rows[0], *rows[1:] * (_CROWD // len(rows)), rows[0]]]
    for crowd in crowds:
        [answer] = await ask([body.encode([row.cells for row in crowd])])
        if answer.outcome is not Outcome.OK:
            why = answer.body.decode(errors="replace").rstrip(".")
            return _one_by_one(f"It answers a row alone and not {len(crowd)} in one request: {why}.")
        found = answers_of(answer.body, len(crowd))
        if found is None:
            return _one_by_one("Its answer to a request of several rows has not an entry for each.")
        difference = _first_difference(crowd, found)
        if difference is not None:
            return _dependent(difference, batchable=batchable)
    difference = await _difference_in_a_batch(body, rows, ask)
    if difference is not None:
        return _dependent(difference, batchable=batchable)
    if not batchable:
        sentence = f"{len(rows)} rows got the answers among others that they get alone; the gateway's own proof at load"
        return Finding(Look.NEIGHBOURS, Verdict.OK, f"{sentence} asks for one request at a time all the same.")
    sentence = f"{len(rows)} rows got the same answers among others as alone: requests are predicted together."
    return Finding(Look.NEIGHBOURS, Verdict.OK, sentence, {"rows": len(rows), "batchable": True})


async def _answered_rows(body: RowsBody, ask: Ask, changes: Iterable[Change]) -> list[_Row]:
    """The example's rows, and rows like them with other cells; those that get an answer when they are asked alone."""
    given = list(body.rows[:_ROWS_MAX])
    cells = given + [varied(row, change) for change in changes for row in given[:2]]
    rows = []
    for one in cells:
        [answer] = await ask([body.encode([one])])
        alone = answers_of(answer.body, 1) if answer.outcome is Outcome.OK else None
        if alone is not None:
            rows.append(_Row(one, alone[0]))
    return rows


async def _difference_in_a_batch(body: RowsBody, rows: Sequence[_Row], ask: Ask) -> str | None:
    """As the gateway sends them: a request for each row."""
    answers = await ask([body.encode([row.cells]) for row in rows])
    found = [answers_of(answer.body, 1) if answer.outcome is Outcome.OK else None for answer in answers]
    return _first_difference(rows, [None if one is None else one[0] for one in found])


def _first_difference(rows: Sequence[_Row], found: Sequence[Any]) -> str | None:
    for index, (row, answer) in enumerate(zip(rows, found, strict=True)):
        difference = first_difference(row.alone, answer)
        if difference is not None:
            start = f"the answer to row {index + 1} of {len(rows)}"
            if difference.startswith("it is "):
                return f"{start} {difference.removeprefix('it ')} as when it is asked alone"
            return f"in {start}, {difference} as when it is asked alone"
    return None


def _dependent(difference: str, *, batchable: bool) -> Finding:
    facts = {"difference": difference, "batchable": batchable}
    if batchable:
        sentence = f"An answer depends on its neighbours, and requests would be predicted together: {difference}."
        return Finding(Look.NEIGHBOURS, Verdict.BROKEN, sentence, facts)
    sentence = (
        f"An answer depends on its neighbours in the same request: {difference}; requests are predicted one by one."
    )
    return Finding(Look.NEIGHBOURS, Verdict.WARNING, sentence, facts)


def _one_by_one(sentence: str) -> Finding:
    return Finding(Look.NEIGHBOURS, Verdict.NOTE, f"{sentence[:-1]}; requests are predicted one by one.")


def _skipped(why: str) -> Finding:
    return Finding(Look.NEIGHBOURS, Verdict.SKIPPED, f"Whether neighbours change an answer cannot be told: {why}.")
