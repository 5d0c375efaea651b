"""What a package proves when it is loaded: it answers its own input example, and answers it as it was recorded to."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from servery_worker.calls import Call
from servery_worker.codecs.json_text import dump_json, load_json
from servery_worker.flavors import FAILURES, LoadError
from servery_worker.wire import MediaType, Outcome

if TYPE_CHECKING:
    from servery_worker.predictor import Predictor

_EXAMPLE_BYTES_MAX = 16 << 20
"""A larger example proves nothing that is worth the wait, and is treated as absent."""
_TOLERANCE = 1e-6
_TOLERANCE_OF_32_BITS, _LEAST_OF_32_BITS = 1e-4, 1e-5
"""Sums of 32 bits differ with the order of their terms, which differs with the processor and the number of rows; most
where large terms cancel."""
_VALUE_MAX = 60


def prove(predictor: Predictor, directory: str, mlmodel: Mapping[str, Any]) -> str:
    """Predict the package's input example. Returns "matched", "answered" (no answer is recorded) or "absent".

    It also settles ``predictor.batchable``: rows are only predicted together where the example, with other rows
    around it, gets the answers that it gets alone.

    Raises:
        LoadError: the model does not answer, or answers otherwise than recorded; one sentence.
    """
    info = mlmodel.get("saved_input_example_info") or {}
    example = _read(directory, info.get("serving_input_path") or "serving_input_example.json")
    if example is None:
        return "absent"
    own = mlmodel.get("servery") or {}
    recorded = _read(directory, own["example_output"]) if own.get("example_output") else None
    [(outcome, body, _)], _ = predictor.answer([(MediaType.JSON, 0, example)])
    if recorded is None and outcome in (Outcome.BAD_REQUEST, Outcome.INVALID_INPUT):
        # MLflow saves examples that are no request, such as dates in two forms, with a warning; the model may be good.
        return "absent"
    if outcome is not Outcome.OK:
        raise LoadError(f"The model does not answer its input example: {body.decode(errors='replace')}")
    predictor.batchable = predictor.may_batch and _is_row_wise(predictor, example)
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


def _is_row_wise(predictor: Predictor, example: bytes) -> bool:
    """Does the example get the same answers among other rows as alone?"""
    was, predictor.batchable = predictor.batchable, True
    try:
        call = predictor.read(MediaType.JSON, example)
        if call.key is None:
            return was  # The example has no rows that could be put together with others.
        others = [other for step in (1, -1) if (other := _neighbour(predictor, call, example, step)) is not None]
        if not others:
            return was
        apart = [_alone(predictor, one) for one in (call, *others, call)]
        together = predictor.rows_together([call, *others, call], [0.0, 0.0, 0.0])
    except FAILURES:
        return was
    finally:
        predictor.batchable = was
    if together is None or None in apart:
        return False
    return first_difference(_as_json(apart), _as_json(together)) is None


def _neighbour(predictor: Predictor, call: Call, example: bytes, step: int) -> Call | None:
    """A request like the example with other numbers, when there is one and the model answers it."""
    other = predictor.read(MediaType.JSON, dump_json(varied(load_json(example), step)))
    if other.key != call.key:
        return None
    try:
        return None if _alone(predictor, other) is None else other
    except FAILURES:
        return None


def _alone(predictor: Predictor, call: Call) -> Any:
    parts = predictor.rows_together([call], [0.0, 0.0, 0.0])
    return None if parts is None else parts[0]


def _as_json(value: Any) -> Any:
    return load_json(dump_json(value))


def varied(value: Any, step: int) -> Any:
    """The example with other cells, so that a model that looks at its neighbours shows it.

    Numbers are larger or smaller by the sign of ``step``; texts are turned round where it is negative.
    """
    if isinstance(value, dict):
        return {
            name: item if name in ("columns", "index", "params") else varied(item, step) for name, item in value.items()
        }
    if isinstance(value, list):
        return [varied(item, step) for item in value]
    if isinstance(value, str) and step < 0:
        return value[::-1]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
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
