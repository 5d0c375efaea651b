"""From Python data to MLflow's JSON forms."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from servery.client.scoring import encode_request
from servery.errors import InvalidInput

FORMS: list[tuple[str, Any, dict[str, Any]]] = [
    ("a list", ["a", "b"], {"inputs": ["a", "b"]}),
    ("one text", "a", {"inputs": ["a"]}),
    ("an array", np.array([[1, 2], [3, 4]]), {"inputs": [[1, 2], [3, 4]]}),
    ("an array with strides", np.arange(4).reshape(2, 2).T, {"inputs": [[0, 2], [1, 3]]}),
    ("a series", pd.Series([1.5, 2.5]), {"inputs": [1.5, 2.5]}),
    ("named arrays", {"x": np.array([1, 2])}, {"inputs": {"x": [1, 2]}}),
    ("a frame", pd.DataFrame({"x": [1], "y": ["a"]}), {"dataframe_split": {"columns": ["x", "y"], "data": [[1, "a"]]}}),
    (
        "a missing number",
        pd.DataFrame({"x": [float("nan")]}),
        {"dataframe_split": {"columns": ["x"], "data": [[None]]}},
    ),
    ("pandas' missing value", [pd.NA, pd.NaT], {"inputs": [None, None]}),
    ("a time", [pd.Timestamp("2024-05-01 10:00")], {"inputs": ["2024-05-01T10:00:00"]}),
    ("a date", [datetime.date(2024, 5, 1)], {"inputs": ["2024-05-01"]}),
    ("bytes", [b"\x00\xff"], {"inputs": ["AP8="]}),
    ("a whole request", {"inputs": [1], "params": {"k": 2}}, {"inputs": [1], "params": {"k": 2}}),
    ("a chat", {"messages": [{"role": "user"}]}, {"messages": [{"role": "user"}]}),
]


@pytest.mark.parametrize(("data", "body"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_each_kind_of_data_has_its_form(data: Any, body: dict[str, Any]) -> None:
    assert json.loads(encode_request(data)) == body


def test_params_stand_beside_the_data() -> None:
    assert json.loads(encode_request([1], {"top": 3})) == {"inputs": [1], "params": {"top": 3}}


def test_numbers_keep_all_their_digits() -> None:
    value = 0.1234567890123456789
    assert json.loads(encode_request(pd.DataFrame({"x": [value]})))["dataframe_split"]["data"] == [[value]]


@pytest.mark.parametrize("data", [object(), [object()]])
def test_what_has_no_json_form_is_refused(data: object) -> None:
    with pytest.raises(InvalidInput, match="data"):
        encode_request(data)
