"""A package proves itself on its input example when it is loaded."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from servery_worker.flavors import Loaded, LoadError
from servery_worker.predictor import Predictor, prove
from servery_worker.schema import Column, ColumnType, Signature
from servery_worker.wire import Asked, MediaType

EXAMPLE = {"dataframe_split": {"columns": ["a"], "data": [[1.0], [2.0]]}}
SIGNATURE = Signature(inputs=(Column(ColumnType.DOUBLE, "a"),))


def proved(
    folder: Path,
    predict: Callable[[Any], Any],
    *,
    example: Any = EXAMPLE,
    recorded: Any = None,
    row_wise: bool | None = None,
) -> tuple[str, bool]:
    predictor = Predictor("test", Loaded(lambda data, params: predict(data), row_wise), SIGNATURE)
    mlmodel: dict[str, Any] = {}
    if example is not None:
        (folder / "example.json").write_text(json.dumps(example))
        mlmodel["saved_input_example_info"] = {"serving_input_path": "example.json"}
    if recorded is not None:
        (folder / "example_output.json").write_text(json.dumps(recorded))
        mlmodel["servery"] = {"example_output": "example_output.json"}
    return prove(predictor, str(folder), mlmodel), predictor.batchable


def double(data: Any) -> Any:
    return data["a"].to_numpy() * 2


def test_without_an_example_there_is_nothing_to_prove(tmp_path: Path) -> None:
    assert proved(tmp_path, double, example=None) == ("absent", False)


def test_an_example_without_a_recorded_answer_is_answered(tmp_path: Path) -> None:
    assert proved(tmp_path, double)[0] == "answered"


@pytest.mark.parametrize("example", [{"dataframe_split": {"columns": ["b"], "data": [[1.0]]}}, {"rows": [1.0]}])
def test_an_example_that_is_no_request_proves_nothing_unless_its_answer_is_recorded(
    example: Any, tmp_path: Path
) -> None:
    assert proved(tmp_path, double, example=example) == ("absent", False)
    with pytest.raises(LoadError, match="does not answer its input example"):
        proved(tmp_path, double, example=example, recorded={"predictions": [2.0]})


def test_an_answer_equal_to_the_recorded_one_matches_within_a_millionth(tmp_path: Path) -> None:
    assert proved(tmp_path, double, recorded={"predictions": [2.0000001, 4]})[0] == "matched"


def test_answers_of_32_bits_match_within_their_own_precision(tmp_path: Path) -> None:
    near = float(np.float32(0.1) * np.float32(1.00001))
    recorded = {"predictions": [near, 4.0]}
    assert (
        proved(tmp_path, lambda data: np.array([0.1, 4.0], "float32")[: len(data)], recorded=recorded)[0] == "matched"
    )
    with pytest.raises(LoadError, match=r"predictions\[0\] is 0.1, not 0.10000"):
        proved(tmp_path, lambda data: np.array([0.1, 4.0])[: len(data)], recorded=recorded)


@pytest.mark.parametrize(
    ("recorded", "difference"),
    [
        ({"predictions": [2.0, 4.1]}, "predictions[1] is 4.0, not 4.1"),
        ({"predictions": [2.0]}, "predictions has 2 entries, not 1"),
        ({"predictions": [2.0, "x"]}, 'predictions[1] is 4.0, not "x"'),
        ({"other": 1}, 'it is {"predictions":[2.0,4.0]}, not {"other":1}'),
    ],
)
def test_an_answer_other_than_recorded_refuses_the_model(recorded: Any, difference: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        proved(tmp_path, double, recorded=recorded)
    assert str(caught.value) == f"The model answers its input example otherwise than recorded: {difference}."


def test_a_model_that_does_not_answer_its_example_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="does not answer its input example: The model raised KeyError: 'b'"):
        proved(tmp_path, lambda data: data["b"])


@pytest.mark.parametrize(
    ("name", "predict", "batchable"),
    [
        ("each row by itself", double, True),
        ("all rows as one", lambda data: float(data["a"].sum()), False),
        ("each row less the mean of all", lambda data: (data["a"] - data["a"].mean()).to_numpy(), False),
        ("a place in line", lambda data: np.arange(len(data)), False),
        ("by chance", lambda data: [random.random() for _ in range(len(data))], False),
        ("text for each row", lambda data: [str(value) for value in data["a"]], True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("rows", [[[1.0]], [[1.0], [2.0]]], ids=["one row", "two rows"])
def test_rows_are_predicted_together_only_where_the_example_proves_it(
    name: str, predict: Callable[[Any], Any], batchable: bool, rows: Any, tmp_path: Path
) -> None:
    example = {"dataframe_split": {"columns": ["a"], "data": rows}}
    assert proved(tmp_path, predict, example=example) == ("answered", batchable)


def test_no_example_proves_it_of_a_flavor_that_is_not_row_wise_by_nature(tmp_path: Path) -> None:
    assert proved(tmp_path, double, row_wise=False) == ("answered", False)


def test_an_example_can_take_it_back_from_a_flavor_that_is_row_wise_by_nature(tmp_path: Path) -> None:
    assert proved(tmp_path, lambda data: (data["a"] - data["a"].mean()).to_numpy(), row_wise=True) == (
        "answered",
        False,
    )


def frame_of(column: str, values: list[Any]) -> dict[str, Any]:
    return {"dataframe_split": {"columns": [column], "data": [[value] for value in values]}}


COLUMNS = {"age": ColumnType.DOUBLE, "vip": ColumnType.BOOLEAN, "sex": ColumnType.STRING}


@pytest.mark.parametrize(
    ("column", "values", "predict"),
    [
        ("age", [30.0, 31.0], lambda ages: ages.fillna(ages.mean())),
        ("age", [30.0], lambda ages: ages.ffill()),
        ("age", [30.0], lambda ages: ages.fillna(int(ages.mean()))),
        ("age", [30.0, 30.0], lambda ages: ages.rank()),
        ("age", [30.0], lambda ages: ages.drop_duplicates()),
        ("vip", [False], lambda flags: [bool(flags.any())] * len(flags)),
        ("sex", ["M"], lambda texts: texts.astype("category").cat.codes),
    ],
    ids=["mean for nulls", "the row before", "fails on nulls alone", "rank", "once each", "any flag", "codes"],
)
def test_a_model_that_looks_at_its_neighbours_is_found_out_whatever_its_example_holds(
    column: str, values: list[Any], predict: Callable[[Any], Any], tmp_path: Path
) -> None:
    signature = Signature(inputs=(Column(COLUMNS[column], column),))
    loaded = Loaded(lambda data, params: list(predict(data[column])), row_wise=None)
    predictor = Predictor("test", loaded, signature)
    (tmp_path / "example.json").write_text(json.dumps(frame_of(column, values)))
    prove(predictor, str(tmp_path), {"saved_input_example_info": {"serving_input_path": "example.json"}})
    assert not predictor.batchable


def test_only_requests_of_the_form_that_was_proved_share_a_batch(tmp_path: Path) -> None:
    seen: list[int] = []

    def predict(data: Any, params: Any) -> Any:
        seen.append(len(data))
        return data["a"].tolist()

    signature = Signature(inputs=(Column(ColumnType.DOUBLE, "a"), Column(ColumnType.DOUBLE, "b", required=False)))
    predictor = Predictor("test", Loaded(predict, row_wise=None), signature)
    (tmp_path / "example.json").write_text(json.dumps(frame_of("a", [1.0])))
    prove(predictor, str(tmp_path), {"saved_input_example_info": {"serving_input_path": "example.json"}})
    like_it = json.dumps(frame_of("a", [2.0])).encode()
    others = [json.dumps({"dataframe_records": [{"a": 1.0, f"x{n}": 2.0}]}).encode() for n in range(300)]
    for body in others:  # Whatever else is asked for, the form that was proved is known again.
        predictor.answer([Asked(MediaType.JSON, body)])
    seen.clear()
    predictor.answer([Asked(MediaType.JSON, like_it)] * 3 + [Asked(MediaType.JSON, others[0])] * 2)
    assert sorted(seen) == [1, 1, 3]


@pytest.mark.parametrize(
    ("seconds", "predictions", "batchable"),
    [([2.0], 14, True), ([9.0, 2.0], 15, True), ([9.0, 9.0], 2, False), ([20.0], 1, False)],
    ids=["fast enough", "slow the first time", "always slow", "too slow to be asked again"],
)
def test_a_slow_model_is_asked_no_more_than_a_load_has_time_for(
    seconds: list[float], predictions: int, batchable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, now = 0, 0.0

    def predict(data: Any, params: Any) -> Any:
        nonlocal asked, now
        asked, now = asked + 1, now + seconds[min(asked, len(seconds) - 1)]
        return data["a"].tolist()

    monkeypatch.setattr("servery_worker.proof.perf_counter", lambda: now)
    predictor = Predictor("test", Loaded(predict, row_wise=None), SIGNATURE)
    (tmp_path / "example.json").write_text(json.dumps(EXAMPLE))
    info = {"saved_input_example_info": {"serving_input_path": "example.json"}}
    assert prove(predictor, str(tmp_path), info, load_seconds=120.0) == "answered"
    assert (asked, predictor.batchable) == (predictions, batchable)


def test_a_model_that_fails_on_its_example_is_served_where_that_is_asked_and_no_answer_is_recorded(
    tmp_path: Path,
) -> None:
    def fails(data: Any, params: Any) -> Any:
        raise ValueError("not this one")

    (tmp_path / "example.json").write_text(json.dumps(EXAMPLE))
    (tmp_path / "example_output.json").write_text(json.dumps({"predictions": [2.0, 4.0]}))
    info = {"saved_input_example_info": {"serving_input_path": "example.json"}}
    predictor = Predictor("test", Loaded(fails, row_wise=None), SIGNATURE)
    assert prove(predictor, str(tmp_path), info, must_answer=False) == "failed"
    assert not predictor.batchable
    with pytest.raises(LoadError, match="not this one"):
        prove(predictor, str(tmp_path), info)
    recorded = {**info, "servery": {"example_output": "example_output.json"}}
    with pytest.raises(LoadError, match="not this one"):
        prove(predictor, str(tmp_path), recorded, must_answer=False)
