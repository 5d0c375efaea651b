"""What a model answers as JSON Schema: its outputs, in the form that the recorded answer shows."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from servery.serving.pages.replies import predictions_schema
from servery_worker.schema import Column, ColumnType, Specs, Tensor

CLASS = (Column(ColumnType.LONG),)
SCORES = (Column(ColumnType.STRING, "label"), Column(ColumnType.DOUBLE, "score"))
RECORDS = [{"label": "spam", "score": 0.5}, {"label": None, "score": None}]


def fits(outputs: Specs | None, recorded: Any, predictions: Any) -> bool:
    schema = predictions_schema(outputs, None if recorded is None else {"predictions": recorded})
    return bool(jsonschema.Draft202012Validator(schema).is_valid(predictions))


@pytest.mark.parametrize(
    ("outputs", "predictions"),
    [
        (CLASS, [1, 2]),
        (CLASS, [{"0": 1}]),
        (CLASS, 1),
        (SCORES, RECORDS),
        (SCORES, [["spam", 0.5]]),
        (SCORES, {"label": ["spam"], "score": [0.5]}),
        (SCORES, {"label": "spam", "score": 0.5}),
        ((Tensor("float64", (-1, 2)),), [[0.5, None]]),
        ((Tensor("float64", (-1,)),), []),
        ((Tensor("float64", ()),), 0.5),
        ((Tensor("float32", (-1,), "a"), Tensor("int64", (-1,), "b")), {"a": [0.5], "b": [1]}),
        ((Tensor("float32", (-1,), "a"),), [0.5]),
        (None, {"anything": 1}),
    ],
    ids=str,
)
def test_outputs_allow_every_form_that_a_model_may_return_them_in(outputs: Specs | None, predictions: Any) -> None:
    assert fits(outputs, None, predictions)
    assert fits(outputs, predictions, predictions)


@pytest.mark.parametrize(
    ("outputs", "recorded", "predictions"),
    [
        (CLASS, [1], ["a"]),
        (CLASS, [1], [{"0": 1}]),
        (SCORES, RECORDS, [{"label": "spam"}]),
        (SCORES, RECORDS, [["spam", 0.5]]),
        ((Tensor("float64", (-1, 2)),), None, [[0.5]]),
    ],
    ids=str,
)
def test_what_was_recorded_tells_which_form_it_is(outputs: Specs, recorded: Any, predictions: Any) -> None:
    assert not fits(outputs, recorded, predictions)
