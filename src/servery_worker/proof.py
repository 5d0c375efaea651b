"""What a package proves when it is loaded: it answers its own input example, and answers it as it was recorded to."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING, Any

from servery_worker.calls import Call
from servery_worker.codecs.json_text import dump_json, load_json
from servery_worker.flavors import FAILURES, LoadError
from servery_worker.wire import Asked, MediaType, Outcome

if TYPE_CHECKING:
    from servery_worker.predictor import Predictor

_EXAMPLE_BYTES_MAX = 16 << 20
"""A larger example proves nothing that is worth the wait, and is treated as absent."""
_TOLERANCE = 1e-6
_TOLERANCE_OF_32_BITS, _LEAST_OF_32_BITS = 1e-4, 1e-5
"""Sums of 32 bits differ with the order of their terms, which differs with the processor and the number of rows; most
where large terms cancel."""
_VALUE_MAX = 60
_PREDICTIONS_OF_NEIGHBOURS = 24
"""As many times at most the example's rows are predicted to settle which rows are predicted together."""
_SHARE_OF_NEIGHBOURS, _SHARE_OF_SECOND = 0.5, 0.1
"""Of the time that a load may take: for that, and for telling a slow model from one whose first prediction is slow."""


def prove(
    predictor: Predictor,
    directory: str,
    mlmodel: Mapping[str, Any],
    *,
    must_answer: bool = True,
    neighbours: bool = True,
    load_seconds: float = math.inf,
) -> str:
    """Predict the package's input example. Returns "matched", "answered" (no answer is recorded) or "absent"; or
    "failed" where the model raises on it, no answer is recorded, and it need not answer: MLflow serves such models.

    With ``neighbours`` it also settles ``predictor.batchable`` and ``predictor.keys``: which rows are predicted
    together. That is left as it is for a model so slow that it would take too much of ``load_seconds``, which the whole
    load may take: it serves all the same.

    Raises:
        LoadError: the model does not answer, or answers otherwise than recorded; one sentence.
    """
    info = mlmodel.get("saved_input_example_info") or {}
    example = _read(directory, info.get("serving_input_path") or "serving_input_example.json")
    if example is None:
        return "absent"
    own = mlmodel.get("servery") or {}
    recorded = _read(directory, own["example_output"]) if own.get("example_output") else None
    started = perf_counter()
    outcome, body, *_ = predictor.answer_example(Asked(MediaType.JSON, example))
    seconds = perf_counter() - started
    if recorded is None and outcome in (Outcome.BAD_REQUEST, Outcome.INVALID_INPUT):
        # MLflow saves examples that are no request, such as dates in two forms, with a warning; the model may be good.
        return "absent"
    if outcome is not Outcome.OK and recorded is None and not must_answer:
        return "failed"
    if outcome is not Outcome.OK:
        raise LoadError(f"The model does not answer its input example: {body.decode(errors='replace')}")
    if predictor.may_batch and neighbours and _has_time(predictor, example, seconds, load_seconds):
        _settle_batching(predictor, example)
    if recorded is None:
        return "answered"
    difference = first_difference(load_json(recorded), load_json(body))
    if difference is not None:
        raise LoadError(f"The model answers its input example otherwise than recorded: {difference}.")
    return "matched"


def _read(directory: str, name: str) -> bytes | None:
    path = os.path.join(directory, name)
    if not os.path.isfile(path) or os.path.getsize(path) > _EXAMPLE_BYTES_MAX:
        return None
    with open(path, "rb") as file:
        return file.read()


def _has_time(predictor: Predictor, example: bytes, seconds: float, load_seconds: float) -> bool:
    """May its neighbours be asked, when the example took ``seconds``? Much is done once, at the first prediction."""
    share = load_seconds * _SHARE_OF_NEIGHBOURS
    if seconds * _PREDICTIONS_OF_NEIGHBOURS <= share or seconds > load_seconds * _SHARE_OF_SECOND:
        return seconds * _PREDICTIONS_OF_NEIGHBOURS <= share
    started = perf_counter()
    predictor.answer([Asked(MediaType.JSON, example)])
    return (perf_counter() - started) * _PREDICTIONS_OF_NEIGHBOURS <= share


def _settle_batching(predictor: Predictor, example: bytes) -> None:
    """Let rows be predicted together as far as the example, among other rows, gets the answers that it gets alone.

    A model that is row-wise by nature keeps that unless the example takes it back. Any other is given rows together in
    the forms alone that were tried: of another form, which may hold what the example has not, nothing is known.
    """
    was, predictor.batchable = predictor.batchable, True
    try:
        call = predictor.read(Asked(MediaType.JSON, example))
        others = [] if call.key is None else _neighbours(predictor, call, example)
        if not others:
            predictor.batchable = was
            return
        predictor.batchable = _answers_as_alone(predictor, call, others)
    except FAILURES:
        predictor.batchable = was
        return
    if not was:
        predictor.share_only(call.key)


def _answers_as_alone(predictor: Predictor, call: Call, others: Sequence[Call]) -> bool:
    """Do calls of one key get together what each gets alone? One that fails alone must spoil what it is part of."""
    alone = [_alone(predictor, other) for other in others]
    answered = [call, *(other for other, answer in zip(others, alone) if answer is not _FAILED), call]
    apart = [_alone(predictor, one) for one in answered]
    together = _together(predictor, answered)
    if together is None or _FAILED in apart or first_difference(_as_json(apart), _as_json(together)) is not None:
        return False
    failed = (other for other, answer in zip(others, alone) if answer is _FAILED)
    return all(_together(predictor, [call, other, call]) is None for other in failed)


def _neighbours(predictor: Predictor, call: Call, example: bytes) -> list[Call]:
    """Requests like the example with other values, as far as they may share its batch."""
    found = []
    for change in Change:
        # What the signature refuses will never be in a batch.
        with suppress(Exception):
            found.append(predictor.read(Asked(MediaType.JSON, dump_json(varied(load_json(example), change)))))
    return [other for other in found if other.key == call.key]


_FAILED = "the model raised, or answered not with an entry a row"


def _alone(predictor: Predictor, call: Call) -> Any:
    parts = _together(predictor, [call])
    return _FAILED if parts is None else parts[0]


def _together(predictor: Predictor, calls: Sequence[Call]) -> list[Any] | None:
    try:
        return predictor.rows_together(calls, [0.0, 0.0, 0.0])
    except FAILURES:
        return None


def _as_json(value: Any) -> Any:
    return load_json(dump_json(value))


class Change(Enum):
    """How the example is made another request, so that a model that looks at its neighbours shows it."""

    LARGER = "larger numbers, longer texts"
    SMALLER = "smaller numbers, texts turned round"
    OPPOSITE = "booleans turned over, other texts"
    MISSING = "nulls for numbers"
    PARTLY_MISSING = "nulls in the first row"


def varied(value: Any, change: Change) -> Any:
    """The example with other cells; its columns, its rows' labels and its params stay."""
    if isinstance(value, dict):
        kept = ("columns", "index", "params")
        return {name: item if name in kept else varied(item, change) for name, item in value.items()}
    if isinstance(value, list):
        rest = None if change is Change.PARTLY_MISSING and len(value) > 1 and _is_row(value[0]) else change
        return [varied(item, change) if index == 0 or rest else item for index, item in enumerate(value)]
    return _varied_cell(value, change)


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _varied_cell(value: Any, change: Change) -> Any:
    if isinstance(value, bool):
        return not value if change is Change.OPPOSITE else value
    if isinstance(value, str):
        texts = {Change.LARGER: value + value, Change.SMALLER: value[::-1], Change.OPPOSITE: "~" + value}
        return texts.get(change, value)
    if not isinstance(value, (int, float)):
        return value
    if change in (Change.MISSING, Change.PARTLY_MISSING):
        return None
    step = {Change.LARGER: 1, Change.SMALLER: -1}.get(change, 0)
    return value * 1.5 + step if isinstance(value, float) else value + step


def first_difference(wanted: Any, given: Any, where: str = "") -> str | None:
    """Where two JSON values differ first, for a sentence; floats may differ by a millionth of their size, those of
    32 bits by a ten-thousandth.
    """
    if isinstance(wanted, dict) and isinstance(given, dict) and list(wanted) == list(given):
        pairs = [(f"{where}.{name}" if where else name, wanted[name], given[name]) for name in wanted]
    elif isinstance(wanted, list) and isinstance(given, list):
        if len(wanted) != len(given):
            return f"{where or 'it'} has {len(given)} entries, not {len(wanted)}"
        pairs = [(f"{where}[{index}]", *pair) for index, pair in enumerate(zip(wanted, given))]
    else:
        return None if _is_same(wanted, given) else f"{where or 'it'} is {_short(given)}, not {_short(wanted)}"
    differences = (first_difference(before, after, place) for place, before, after in pairs)
    return next((difference for difference in differences if difference is not None), None)


def _is_same(wanted: Any, given: Any) -> bool:
    numbers = (int, float)
    if isinstance(wanted, bool) or isinstance(given, bool) or not isinstance(given, numbers):
        return type(wanted) is type(given) and bool(wanted == given)
    if not isinstance(wanted, numbers):
        return False
    if isinstance(wanted, float) or isinstance(given, float):
        if _has_32_bits(wanted) and _has_32_bits(given):
            return math.isclose(wanted, given, rel_tol=_TOLERANCE_OF_32_BITS, abs_tol=_LEAST_OF_32_BITS)
        return math.isclose(wanted, given, rel_tol=_TOLERANCE, abs_tol=1e-12)
    return wanted == given


def _has_32_bits(value: float) -> bool:
    """Did the value come from a float of 32 bits? JSON writes it with the digits of 64."""
    try:
        return bool(struct.unpack("f", struct.pack("f", value))[0] == value)
    except OverflowError:
        return False


def _short(value: Any) -> str:
    text = dump_json(value).decode()
    return text if len(text) <= _VALUE_MAX else text[: _VALUE_MAX - 1] + "…"
