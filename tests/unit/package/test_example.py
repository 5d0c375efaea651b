"""An input example is written as MLflow writes it, and as a request that our server takes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models.utils import _Example

from servery.errors import InvalidInput
from servery.package.example import make_example

FRAME = pd.DataFrame({"a": [1.5, None], "s": ["x", None], "i": [1, 2]})

EXAMPLES: dict[str, Any] = {
    "frame": FRAME,
    "frame with params": (FRAME, {"k": 3}),
    "frame without column names": pd.DataFrame([[1.0, 2.0], [3.0, 4.0]]),
    "frame with an index": FRAME.set_index(pd.Index(["p", "q"])),
    "frame of nullable types": pd.DataFrame({"i": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None])}),
    "frame of dates": pd.DataFrame({"t": pd.to_datetime(["2024-01-02 03:04:05"])}),
    "frame of bytes": pd.DataFrame({"b": [b"\x00\xff"]}),
    "frame of lists": pd.DataFrame({"l": [[1, 2], []], "d": [{"x": 1}, {}]}),
    "array": np.array([[1.5, np.nan]]),
    "array of float32": np.array([[0.1]], dtype="float32"),
    "array of text": np.array(["a", "bc"]),
    "dict of arrays": {"x": np.ones((1, 2)), "y": np.array([1])},
    "list": ["a", "b"],
    "list with params": (["a", "b"], {"k": [1, 2]}),
    "list of dicts": [{"a": 1}, {"a": None}],
    "dict": {"a": [1, 2], "b": {"c": "d"}},
    "text": "hello",
    "number": 1.5,
    "chat": {"messages": [{"role": "user", "content": "hello"}]},
    "chat with params": ({"messages": [{"role": "user", "content": "hello"}]}, {"temperature": 0.5}),
}


def read(text: str) -> Any:
    """What MLflow wrote; for a gap in a frame it means null and writes NaN with pandas 3, which is no JSON."""
    return json.loads(text, parse_constant=lambda _: None)


@pytest.mark.filterwarnings("ignore:Operation with range is deprecated")  # MLflow's own, with pandas 3.
@pytest.mark.parametrize("case", EXAMPLES)
def test_both_files_and_their_description_are_mlflows(case: str) -> None:
    ours, theirs = make_example(EXAMPLES[case]), _Example(EXAMPLES[case])
    assert ours.info == theirs.info
    assert json.loads(ours.input_json) == read(theirs.json_input_example)
    assert json.loads(ours.serving_json) == read(theirs.json_serving_input)


def test_a_gap_in_a_list_is_null_and_not_the_nan_that_no_json_has() -> None:
    assert make_example([1.0, float("nan")]).serving_json == b'{"inputs":[1.0,null]}'


def test_a_series_is_a_list() -> None:
    example = make_example(pd.Series(["a", "b"], name="text"))
    assert example.data == ["a", "b"]
    assert example.is_list_of_scalars


@pytest.mark.parametrize(
    ("data", "expected"), [(["a"], True), ([], True), ([["a"]], False), ([{"a": 1}], False), ("a", False)]
)
def test_a_list_of_scalars_is_told_from_other_inputs(data: Any, expected: bool) -> None:
    assert make_example(data).is_list_of_scalars is expected


@pytest.mark.parametrize(
    "example",
    [object(), None, (1, 2), {1, 2}, [object()], {"x": object()}, FRAME.assign(z=1j), {"x": np.ones(1), "y": [1]}],
)
def test_what_has_no_form_in_json_is_refused(example: Any) -> None:
    with pytest.raises(InvalidInput, match="'input_example'"):
        make_example(example)


@pytest.mark.parametrize("fraction", [".5", ".123456", ".123456789"])
def test_dates_of_one_column_have_one_form_so_that_its_whole_seconds_are_read_too(fraction: str) -> None:
    texts = pd.Series(["2024-01-02 03:04:05", None, f"2024-01-02 03:04:05{fraction}"])
    dates = pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601"))
    rows = json.loads(make_example(pd.DataFrame({"t": dates})).serving_json)["dataframe_split"]["data"]
    assert pd.to_datetime([row[0] for row in rows]).equals(dates)
    assert rows[1] == [None]
