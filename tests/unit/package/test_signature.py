"""infer_signature says the same as MLflow's, and refuses where MLflow would give up."""

from __future__ import annotations

import datetime
import json
import warnings
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
import pytest

from servery.errors import InvalidInput
from servery.package.signature import infer_signature
from servery_worker.schema import Signature

NAN = float("nan")
NOON = datetime.datetime(2024, 1, 1, 12)  # noqa: DTZ001  # MLflow's times have no zone.

INPUTS: dict[str, Any] = {
    "frame of floats": pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, NAN]}),
    "frame of every numpy width": pd.DataFrame(
        {
            name: np.array([1, 0], dtype=name)
            for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
        }
    ),
    "frame of float widths": pd.DataFrame({name: np.array([1, 0], dtype=name) for name in ("float16", "float32")}),
    "float32 with NaN": pd.DataFrame({"a": np.array([1, NAN], dtype="float32")}),
    "booleans": pd.DataFrame({"a": [True, False]}),
    "pandas text": pd.DataFrame({"a": ["x", "y"]}),
    "pandas text with a gap": pd.DataFrame({"a": ["x", None]}),
    "object text": pd.DataFrame({"a": pd.Series(["x", "y"], dtype=object)}),
    "object text with a gap": pd.DataFrame({"a": pd.Series(["x", None], dtype=object)}),
    "nullable types": pd.DataFrame(
        {
            "i": pd.array([1, 2], dtype="Int64"),
            "j": pd.array([1, None], dtype="Int32"),
            "f": pd.array([1.5, None], dtype="Float64"),
            "b": pd.array([True, None], dtype="boolean"),
            "s": pd.array(["x", None], dtype="string"),
        }
    ),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y", "x"])}),
    "number categories": pd.DataFrame({"a": pd.Categorical([1, 2, 1])}),
    "dates": pd.DataFrame({"a": pd.to_datetime(["2024-01-01", "2024-01-02"])}),
    "dates with a gap": pd.DataFrame({"a": pd.to_datetime(pd.Series(["2024-01-01", None]))}),
    "dates with a zone": pd.DataFrame({"a": pd.to_datetime(["2024-01-01"], utc=True)}),
    "bytes": pd.DataFrame({"a": [b"x", b"y"]}),
    "lists in cells": pd.DataFrame({"a": [["x"], ["y", "z"]], "b": [[1.5], []]}),
    "dicts in cells": pd.DataFrame({"a": [{"p": 1, "q": "x"}, {"p": 2}]}),
    "columns without names": pd.DataFrame([[1.0, 2], [3, 4]]),
    "empty column of objects": pd.DataFrame({"a": pd.Series([None, None], dtype=object)}),
    "series": pd.Series([1, 2], name="a"),
    "series without name": pd.Series(["x", "y"]),
    "array": np.ones((2, 3)),
    "array of float32, four dimensions": np.ones((1, 2, 3, 4), dtype="float32"),
    "array of text": np.array(["a", "bcd"]),
    "array of bytes": np.array([b"a", b"bcd"]),
    "array of objects": np.array(["a", None], dtype=object),
    "array of dates": np.array(["2024-01-01"], dtype="datetime64[ns]"),
    "dict of arrays": {"x": np.ones((2, 3)), "y": np.array([1, 2])},
    "dict of lists": {"x": [1, 2], "y": ["a", "b"], "z": [1.5, None]},
    "dict of scalars": {"x": 1, "y": "a", "z": None, "d": NOON},
    "dict of mixed": {"x": [1.0, 2.0], "y": "a"},
    "nested dict": {"x": {"b": [1], "a": {"c": "d", "e": None, "f": []}}},
    "list of texts": ["a", "b"],
    "list of numbers": [1.5, 2.0],
    "list of numpy numbers": [np.float32(1.5), np.float32(2.0)],
    "list of lists": [[1, 2], [3]],
    "list with a gap": ["a", None],
    "empty list": [],
    "list of dicts": [{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": 3, "c": [1.0]}],
    "list of nested dicts": [{"a": {"x": 1, "n": None}}, {"a": {"y": [], "n": "t"}}, {"a": {"y": ["z"], "x": 2}}],
    "list of dicts, first empty": [{"a": None}, {"a": {"b": 1}}],
    "text": "hello",
    "number": 3,
    "chat": {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.5},
}


def as_json(manifest: Any) -> Any:
    return {key: None if text is None else json.loads(text) for key, text in manifest.items()}


@pytest.mark.parametrize("case", INPUTS)
def test_it_says_what_mlflow_says(case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hint about integers.
        theirs = mlflow.models.infer_signature(INPUTS[case], INPUTS[case]).to_dict()
    assert as_json(infer_signature(INPUTS[case], INPUTS[case]).to_manifest()) == as_json(theirs)


@pytest.mark.parametrize("case", INPUTS)
def test_it_survives_being_written_and_read(case: str) -> None:
    signature = infer_signature(INPUTS[case])
    assert Signature.from_manifest(signature.to_manifest()) == signature


PARAMS: dict[str, Any] = {
    "scalars": {"i": 3, "f": 0.5, "s": "x", "b": True},
    "dates": {"d": NOON},
    "lists": {"i": [1, 2], "m": [1.0, 2.5], "s": ["a", "b"]},
    "numbers of two kinds": {"m": [1, 2.5]},
    "dict": {"o": {"b": 1, "a": "x"}},
}


@pytest.mark.parametrize("case", PARAMS)
def test_params_are_what_mlflow_makes_of_them(case: str) -> None:
    theirs = mlflow.models.infer_signature("x", None, PARAMS[case]).to_dict()
    assert as_json(infer_signature("x", None, PARAMS[case]).to_manifest())["params"] == as_json(theirs)["params"]


REFUSED: dict[str, tuple[Any, str]] = {
    "a duration": (pd.DataFrame({"ok": [1], "t": pd.to_timedelta(["1s"])}), "column 't'"),
    "unsigned 64 bits": (pd.DataFrame({"u": np.array([1], dtype="uint64")}), "column 'u'"),
    "a column of two types": (pd.DataFrame({"m": [1, "x"]}), "column 'm'"),
    "two columns of one name": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "share a name"),
    "no columns": (pd.DataFrame(), "without columns"),
    "a list of two types": ([1, "x"], "long and string"),
    "keys that are numbers": ({1: "x"}, "not text"),
    "an object": (object(), "object"),
    "a scalar array": (np.array(1.0), "without dimensions"),
    "a sparse column": (pd.DataFrame({"s": pd.arrays.SparseArray([0.0, 1.0])}), "column 's'"),
    "complex numbers": (pd.DataFrame({"z": [1j]}), "column 'z'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_input_that_no_type_describes_is_refused_by_name(case: str) -> None:
    data, named = REFUSED[case]
    with pytest.raises(InvalidInput, match=named):
        infer_signature(data)


@pytest.mark.parametrize("case", REFUSED)
def test_an_output_that_no_type_describes_is_any(case: str) -> None:
    assert infer_signature(None, REFUSED[case][0]).to_manifest()["outputs"] == '[{"type": "any", "required": true}]'


@pytest.mark.parametrize("value", [[], [1, "x"], b"x", None, [[1]], object()])
def test_a_param_that_no_type_describes_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"params\.p"):
        infer_signature("x", params={"p": value})
