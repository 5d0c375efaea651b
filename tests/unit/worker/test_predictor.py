"""What a batch of bodies is answered with, and what a caller is told when it cannot be."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor
from servery_worker.schema import Column, ColumnType, Param, Signature, Specs, Tensor
from servery_worker.wire import Asked, MediaType, Outcome

FIELDS = "'dataframe_split', 'dataframe_records', 'instances' or 'inputs'"
AB = (Column(ColumnType.DOUBLE, "a"), Column(ColumnType.LONG, "b"))


def predictor_of(
    predict: Callable[[Any], Any], specs: Specs | None = None, *, batchable: bool = True, **signature: Any
) -> Predictor:
    loaded = Loaded(lambda data, params: predict(data), row_wise=batchable)
    return Predictor("test", loaded, Signature(inputs=specs, **signature))


def answers(predictor: Predictor, *bodies: Any, media_type: MediaType = MediaType.JSON) -> list[tuple[Outcome, Any]]:
    texts = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
    given, _ = predictor.answer([Asked(media_type, memoryview(text)) for text in texts])
    return [(outcome, json.loads(text) if outcome is Outcome.OK else text.decode()) for outcome, text, *_ in given]


def split(names: list[str], *rows: list[Any]) -> dict[str, Any]:
    return {"dataframe_split": {"columns": names, "data": list(rows)}}


def row(a: Any, b: Any) -> dict[str, Any]:
    return split(["a", "b"], [a, b])


class Counting:
    """A model that adds its columns up, and remembers how many rows each ``predict`` had."""

    def __init__(self, *, breaks_on: float | None = None) -> None:
        self.batches: list[int] = []
        self.breaks_on = breaks_on

    def __call__(self, data: Any) -> Any:
        self.batches.append(len(data))
        values = np.asarray(data, dtype=float)
        if self.breaks_on is not None and (values == self.breaks_on).any():
            raise ValueError(f"cannot take {self.breaks_on}")
        return values.sum(axis=1)


def test_requests_of_the_same_columns_are_predicted_together_and_answered_in_order() -> None:
    model = Counting()
    given = answers(predictor_of(model, AB), row(1, 2), split(["a", "b"], [3, 4], [5, 6]), row(7.5, 8))
    assert given == [
        (Outcome.OK, {"predictions": [3.0]}),
        (Outcome.OK, {"predictions": [7.0, 11.0]}),
        (Outcome.OK, {"predictions": [15.5]}),
    ]
    assert model.batches == [4]


def test_requests_whose_columns_come_in_another_order_form_another_group() -> None:
    model = Counting()
    given = answers(predictor_of(model, AB), row(1, 2), split(["b", "a"], [4, 3]), row(5, 6))
    assert [answer["predictions"] for _, answer in given] == [[3.0], [7.0], [11.0]]
    assert sorted(model.batches) == [1, 2]


def test_a_model_that_is_not_batchable_predicts_each_request_by_itself() -> None:
    model = Counting()
    answers(predictor_of(model, AB, batchable=False), row(1, 2), row(3, 4))
    assert model.batches == [1, 1]


def test_arrays_of_one_dtype_and_width_are_predicted_together() -> None:
    model = Counting()
    bodies = [{"inputs": [[1.5, 2]]}, {"instances": [[3, 4.5]]}, {"inputs": [[1, 2]]}, {"inputs": [[1.5, 2, 3]]}]
    given = answers(predictor_of(model), *bodies)
    assert [answer["predictions"] for _, answer in given] == [[3.5], [7.5], [3.0], [6.5]]
    assert sorted(model.batches) == [1, 1, 2]


def test_texts_are_predicted_together_whatever_their_length() -> None:
    seen = []

    def shout(texts: Any) -> Any:
        seen.append(len(texts))
        return [str(text).upper() for text in texts]

    given = answers(predictor_of(shout), {"inputs": ["a"]}, {"inputs": ["longer", "b"]})
    assert [answer["predictions"] for _, answer in given] == [["A"], ["LONGER", "B"]]
    assert seen == [3]


def test_requests_with_different_params_are_not_predicted_together() -> None:
    seen = []

    def predict(data: Any, params: Any) -> Any:
        seen.append((len(data), params["limit"]))
        return [params["limit"]] * len(data)

    signature = Signature(inputs=AB, params=(Param("limit", ColumnType.LONG, 5),))
    predictor = Predictor("test", Loaded(predict, row_wise=True), signature)
    given = answers(predictor, row(1, 2), {**row(1, 2), "params": {"limit": 9}}, row(3, 4))
    assert [answer["predictions"] for _, answer in given] == [[5], [9], [5]]
    assert sorted(seen) == [(1, 9), (2, 5)]


def test_a_bad_request_is_refused_alone_and_its_neighbours_are_answered() -> None:
    given = answers(predictor_of(Counting(), AB), row(1, 2), b"{nonsense", row(1, "x"), row(3, 4))
    assert [outcome for outcome, _ in given] == [
        Outcome.OK,
        Outcome.BAD_REQUEST,
        Outcome.BAD_REQUEST,
        Outcome.OK,
    ]


def test_when_a_batch_raises_only_the_request_at_fault_fails() -> None:
    given = answers(predictor_of(Counting(breaks_on=13), AB), row(1, 2), row(13, 2), row(3, 4))
    assert given == [
        (Outcome.OK, {"predictions": [3.0]}),
        (Outcome.MODEL_RAISED, "The model raised ValueError: cannot take 13"),
        (Outcome.OK, {"predictions": [7.0]}),
    ]


def test_an_output_without_an_entry_for_each_row_is_asked_again_request_by_request() -> None:
    given = answers(predictor_of(lambda data: float(len(data)), AB), row(1, 2), row(3, 4))
    assert given == [(Outcome.OK, {"predictions": 1.0})] * 2


def test_a_request_of_many_rows_is_predicted_alone() -> None:
    model = Counting()
    answers(predictor_of(model, AB), split(["a", "b"], *[[1, 2]] * 200), row(3, 4), row(5, 6))
    assert sorted(model.batches) == [2, 200]


def test_a_value_that_only_one_answer_cannot_hold_fails_that_one() -> None:
    marked = object()
    given = answers(predictor_of(lambda data: [marked if a == 3 else a for a in data["a"]], AB), row(1, 2), row(3, 4))
    assert [outcome for outcome, _ in given] == [Outcome.OK, Outcome.UNENCODABLE]
    assert given[1][1] == "The model's answer cannot be written as JSON: object has no form in JSON."


def test_timings_are_of_the_whole_batch() -> None:
    _, timings = predictor_of(Counting(), AB).answer([Asked(MediaType.JSON, json.dumps(row(1, 2)).encode())] * 3)
    assert all(seconds > 0 for seconds in timings)


@pytest.mark.parametrize(
    ("body", "outcome", "sentence"),
    [
        (row(1, "abc"), Outcome.BAD_REQUEST, "Column 'b': expected long, got string 'abc' in row 0."),
        (
            split(["a", "b"], [1, 1], [1, 2], ["x", 3]),
            Outcome.BAD_REQUEST,
            "Column 'a': expected double, got string 'x' in row 2.",
        ),
        (row(1, None), Outcome.BAD_REQUEST, "Column 'b': expected long, got null in row 0."),
        (row([1, 2], 1), Outcome.BAD_REQUEST, "Column 'a': expected double, got list [1, 2] in row 0."),
        (split(["a"], [1]), Outcome.INVALID_INPUT, "Column 'b' is missing; the input has 'a'."),
        (split(["c"], [1]), Outcome.INVALID_INPUT, "Columns 'a', 'b' are missing; the input has 'c'."),
        (split(["a", "a", "b"], [1, 2, 3]), Outcome.INVALID_INPUT, "Column 'a' is there twice."),
        (
            {"inputs": {"a": ["x"], "b": [1]}},
            Outcome.BAD_REQUEST,
            "Column 'a': expected double, got string 'x' in row 0.",
        ),
        (
            {"rows": []},
            Outcome.BAD_REQUEST,
            f"The body is expected to have exactly one of {FIELDS}; found: 'rows'.",
        ),
        (
            {"inputs": [], "instances": []},
            Outcome.BAD_REQUEST,
            f"The body is expected to have exactly one of {FIELDS}; found: 'inputs', 'instances'.",
        ),
        (
            [1],
            Outcome.BAD_REQUEST,
            f"The body is expected to be a JSON object with {FIELDS}; it is a list.",
        ),
        (
            {"dataframe_split": {"rows": []}},
            Outcome.BAD_REQUEST,
            "'dataframe_split' is expected to have 'data', 'columns' and 'index' only; it has 'rows'.",
        ),
        (
            {"dataframe_records": 5},
            Outcome.BAD_REQUEST,
            "'dataframe_records' is expected to be a list of objects, got number 5.",
        ),
    ],
)
def test_a_refusal_names_what_is_wrong(body: Any, outcome: Outcome, sentence: str) -> None:
    assert answers(predictor_of(Counting(), AB), body) == [(outcome, sentence)]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b'{"inputs": ' + b"[" * 5000])
def test_what_is_not_json_is_refused_in_a_sentence(body: bytes) -> None:
    [(outcome, sentence)] = answers(predictor_of(Counting()), body)
    assert outcome is Outcome.BAD_REQUEST
    assert sentence.startswith("The body is")
    assert sentence.endswith(".")


def test_a_tensor_of_another_shape_is_told_what_was_expected() -> None:
    predictor = predictor_of(Counting(), (Tensor("float64", (-1, 3)),))
    assert answers(predictor, {"inputs": [[1, 2]]}) == [
        (Outcome.INVALID_INPUT, "The input: expected shape (any, 3), got (1, 2).")
    ]


def test_what_a_model_raises_is_told_without_paths_and_not_at_length() -> None:
    def fails(data: Any) -> Any:
        raise RuntimeError("no file /srv/models/spam/vocabulary.txt\nnor any/other " + "x" * 1000)

    [(outcome, sentence)] = answers(predictor_of(fails), {"inputs": [1]})
    assert outcome is Outcome.MODEL_RAISED
    assert sentence.startswith("The model raised RuntimeError: no file … nor any/other xxx")
    assert len(sentence) < 530


def test_a_model_that_ends_the_process_fails_its_request_only() -> None:
    given = answers(predictor_of(lambda data: sys.exit("enough")), {"inputs": [1]})
    assert given == [(Outcome.MODEL_RAISED, "The model raised SystemExit: enough")]


def test_a_model_that_raises_what_is_no_exception_fails_its_request_only() -> None:
    class Stop(BaseException):
        pass

    def predict(data: Any) -> Any:
        if 2 in data:
            raise Stop("no more")
        return data

    (first, second) = answers(predictor_of(predict), {"inputs": [1]}, {"inputs": [2]})
    assert (first[0], second) == (Outcome.OK, (Outcome.MODEL_RAISED, "The model raised Stop: no more"))


@pytest.mark.parametrize("depth", [1, 2, 20])
def test_a_cell_deep_in_a_tensor_is_named_with_its_row_once(depth: int) -> None:
    cell: Any = "a"
    for _ in range(depth):
        cell = [cell]
    predictor = predictor_of(Counting(), (Tensor("float64", (-1,) * depth),))
    assert answers(predictor, {"inputs": cell}) == [
        (Outcome.BAD_REQUEST, "The input: expected float64, got string 'a' in row 0.")
    ]


def test_floats_that_json_does_not_have_are_answered_as_null() -> None:
    output = {"array": np.array([np.nan, 1.0, np.inf]), "list": [float("nan"), np.float32("-inf")], "no": pd.NaT}
    assert answers(predictor_of(lambda data: output), {"inputs": [1]}) == [
        (Outcome.OK, {"predictions": {"array": [None, 1.0, None], "list": [None, None], "no": None}})
    ]


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        ("2024-01-02T03:04:05", "2024-01-02T03:04:05"),
        ("2024-01-02T03:04:05.5", "2024-01-02T03:04:05.500000"),
        ("2024-01-02T03:04:05.123456789", "2024-01-02T03:04:05.123456789"),
        ("NaT", None),
    ],
)
def test_arrays_of_times_are_answered_in_iso_8601(moment: str, written: str | None) -> None:
    output = np.array([moment], dtype="datetime64[ns]")
    assert answers(predictor_of(lambda data: output), {"inputs": [1]}) == [(Outcome.OK, {"predictions": [written]})]


def test_the_form_of_language_models_is_answered_unwrapped() -> None:
    predictor = predictor_of(lambda data: {"choices": [data["prompt"]]})
    assert answers(predictor, {"prompt": "hi"}) == [(Outcome.OK, {"choices": ["hi"]})]


def test_csv_is_read_by_the_signature() -> None:
    predictor = predictor_of(lambda data: data["a"].map(type).map(str).tolist(), (Column(ColumnType.STRING, "a"),))
    [(_, answer)] = answers(predictor, b"a,b\n007,x\n", media_type=MediaType.CSV)
    assert answer == {"predictions": ["<class 'str'>"]}


@pytest.mark.parametrize("index", [[17], ["x"], [0]])
def test_labels_of_rows_keep_no_request_from_being_predicted_with_others(index: list[Any]) -> None:
    model = Counting()
    labelled = {"dataframe_split": {"columns": ["a", "b"], "index": index, "data": [[1, 2]]}}
    answers(predictor_of(model, AB), labelled, row(3, 4))
    assert model.batches == [2]


def test_a_model_that_sees_labels_is_given_them() -> None:
    labelled = {"dataframe_split": {"columns": ["a", "b"], "index": ["x"], "data": [[1, 2]]}}
    predictor = predictor_of(lambda data: list(data.index), AB, batchable=False)
    assert answers(predictor, labelled) == [(Outcome.OK, {"predictions": ["x"]})]
