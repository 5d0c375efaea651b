"""The same bodies through mlflow's own scoring server and through the worker's predictor, on models that mlflow saved.

The model answers with a description of what it was given: types, dtypes, columns, cells. So an equal answer says that
the model cannot tell the two servers apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import mlflow.pyfunc.scoring_server
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import ModelSignature
from mlflow.models.utils import _enforce_params_schema
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from starlette.testclient import TestClient

from servery_worker.parameters import enforce_params
from servery_worker.predictor import Predictor, load
from servery_worker.schema import InvalidInput
from servery_worker.wire import Asked, MediaType, Outcome


class Describer(BaseEstimator):  # type: ignore[misc]
    """Answers with what it was given, an entry for each row."""

    def predict(self, data: Any) -> list[Any]:
        if isinstance(data, pd.DataFrame):
            head = [list(map(repr, data.columns)), list(map(str, data.dtypes))]
            return [[*head, [_describe(cell) for cell in row]] for row in data.itertuples(index=False, name=None)]
        if isinstance(data, dict):
            return [[name, _describe(data[name])] for name in data]
        if isinstance(data, np.ndarray) and data.ndim:
            kind = data.dtype.kind if data.dtype.kind in "US" else str(data.dtype)
            return [[kind, list(data.shape[1:]), repr(row.tolist() if data.ndim > 1 else row)] for row in data]
        if isinstance(data, list):
            return [repr(item) for item in data]
        return [_describe(data)]


def _describe(cell: Any) -> str:
    """A cell, with floats' missing value in one spelling."""
    return f"{type(cell).__name__} {cell!r}"


class Failing(BaseEstimator):  # type: ignore[misc]
    def predict(self, data: Any) -> Any:
        raise ValueError("no such thing")


def columns(*specs: tuple[str, str] | tuple[str, str, bool]) -> ModelSignature:
    return ModelSignature(Schema([ColSpec(DataType[spec[1]], spec[0], required=(*spec, True)[2]) for spec in specs]))


PARAMS = ParamSchema(
    [
        ParamSpec("limit", DataType.long, 10),
        ParamSpec("share", DataType.double, 0.5),
        ParamSpec("words", DataType.string, ["a"], (-1,)),
        ParamSpec("since", DataType.datetime, np.datetime64("2020-01-01")),
    ]
)

SIGNATURES: dict[str, ModelSignature | None] = {
    "none": None,
    "doubles": columns(("a", "double"), ("b", "double")),
    "numbers": columns(("t", "boolean"), ("i", "integer"), ("l", "long"), ("f", "float"), ("d", "double")),
    "mixed": columns(("d", "double"), ("s", "string"), ("n", "long", False)),
    "moments": columns(("when", "datetime"), ("blob", "binary")),
    "text": columns(("text", "string")),
    "flag": columns(("flag", "boolean")),
    "long": columns(("n", "long")),
    "integer": columns(("n", "integer")),
    "float": columns(("x", "float")),
    "unnamed": ModelSignature(Schema([ColSpec(DataType.double), ColSpec(DataType.double)])),
    "unnamed text": ModelSignature(Schema([ColSpec(DataType.string)])),
    "tensor": ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 3))])),
    "tensor32": ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2))])),
    "tensor flat": ModelSignature(Schema([TensorSpec(np.dtype("int64"), (-1,))])),
    "tensor text": ModelSignature(Schema([TensorSpec(np.dtype("str"), (-1,))])),
    "tensors": ModelSignature(
        Schema([TensorSpec(np.dtype("float64"), (-1, 2), "x"), TensorSpec(np.dtype("int64"), (-1,), "y")])
    ),
    "params": ModelSignature(Schema([ColSpec(DataType.double, "a")]), params=PARAMS),
    "nested": ModelSignature(
        Schema(
            [
                ColSpec(Array(DataType.string), "tags"),
                ColSpec(Object([Property("city", DataType.string), Property("zip", DataType.long, False)]), "place"),
                ColSpec(Map(DataType.double), "scores"),
                ColSpec(AnyType(), "rest"),
            ]
        )
    ),
}


def split(*rows: list[Any], names: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"dataframe_split": {**({} if names is None else {"columns": names}), "data": list(rows), **more}}


def records(*rows: Any) -> dict[str, Any]:
    return {"dataframe_records": list(rows)}


AB, NUMBERS, MIXED, MOMENTS = ["a", "b"], ["t", "i", "l", "f", "d"], ["d", "s", "n"], ["when", "blob"]
PLACE = {"tags": ["x", "y"], "place": {"city": "Bern", "zip": 3000}, "scores": {"m": 1.5}, "rest": [1, {"a": None}]}

BODIES: list[tuple[str, Any]] = [
    # Tables without a signature: pandas' inference.
    ("none", split([1, 2.5], [3, 4.5], names=AB)),
    ("none", split([1, "x", True, 2.5])),
    ("none", split([1], [None], names=["a"])),
    ("none", split(["x"], [None], names=["a"])),
    ("none", split([1], [1.5], names=["a"])),
    ("none", split([1], ["x"], names=["a"])),
    ("none", split([1, 2], names=AB, index=[7])),
    ("none", split([2**63], names=["a"])),
    ("none", split([[1, 2]], names=["a"])),
    ("none", split(names=AB)),
    ("none", split([1, 2, 3], names=AB)),
    ("none", split([1, 2], [3], names=AB)),
    ("none", {"dataframe_split": []}),
    ("none", {"dataframe_split": {"columns": AB}}),
    ("none", {"dataframe_split": {"data": [[1]], "rows": 1}}),
    ("none", records({"a": 1, "b": "x"}, {"a": 2, "b": "y"})),
    ("none", records({"a": 1}, {"b": 2})),
    ("none", records()),
    ("none", {"dataframe_records": {"a": 1}}),
    ("none", {"dataframe_records": "text"}),
    # Arrays without a signature.
    ("none", {"inputs": [1, 2, 3]}),
    ("none", {"inputs": [[1, 2.5], [3, 4]]}),
    ("none", {"inputs": ["some", "text"]}),
    ("none", {"inputs": "some text"}),
    ("none", {"inputs": 3}),
    ("none", {"inputs": {"a": [1, 2], "b": ["x", "y"]}}),
    ("none", {"inputs": [{"a": 1}, {"a": 2}]}),
    ("none", {"inputs": [[1, 2], [3]]}),
    ("none", {"inputs": [True, False]}),
    ("none", {"inputs": [[[1, 2], [3, 4]]]}),
    ("none", {"inputs": []}),
    ("none", {"instances": [[1, 2], [3, 4]]}),
    ("none", {"instances": [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}]}),
    ("none", {"instances": [{"a": 1}, {"a": 2, "b": 3}]}),
    ("none", {"instances": {"a": [1, 2], "b": [1]}}),
    ("none", {"inputs": [1], "params": {"unknown": 1}}),
    # Which field.
    ("none", {}),
    ("none", {"data": [[1]]}),
    ("none", {"inputs": [1], "instances": [1]}),
    ("none", {"inputs": [1], "other": 2}),
    ("none", [[1, 2]]),
    ("none", "text"),
    ("none", 5),
    ("none", None),
    ("none", b"{broken"),
    ("none", b""),
    ("none", b'{"inputs": [NaN, 1.0]}'),
    ("none", b'{"dataframe_split": {"columns": ["a"], "data": [[Infinity]]}}'),
    ("none", b'\xff\xfe{"inputs": [1]}'),
    # Columns of numbers.
    ("doubles", split([1.5, 2.5], names=AB)),
    ("doubles", split([1, 2], [3, 4.5], names=AB)),
    ("doubles", split([2.5, 1.5], names=["b", "a"])),
    ("doubles", split([9, 1.5, "x", 2.5], names=["x", "b", "y", "a"])),
    ("doubles", split([1.5, None], names=AB)),
    ("doubles", split([None, None], names=AB)),
    ("doubles", split([True, 1], names=AB)),
    ("doubles", split(["1.5", 2], names=AB)),
    ("doubles", split(["abc", 2], names=AB)),
    ("doubles", split([1.5], names=["a"])),
    ("doubles", split([1.5, 2.5])),
    ("doubles", split([[1], 2.5], names=AB)),
    ("doubles", split([{}, 2.5], names=AB)),
    ("doubles", split([1.5, 2.5], names=AB, index=["row"])),
    ("doubles", split(names=AB)),
    ("doubles", split([2**62, 2**63], names=AB)),
    ("doubles", split([1.5, 2.5, 3.5], names=["a", "a", "b"])),
    ("doubles", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[NaN, 1]]}}'),
    ("doubles", records({"a": 1.5, "b": 2}, {"b": 3, "a": 4})),
    ("doubles", records({"a": 1.5, "b": 2}, {"a": 4})),
    ("doubles", records({"a": 1.5}, {"a": 4})),
    ("doubles", {"inputs": {"a": [1.5, 2], "b": [3, 4]}}),
    ("doubles", {"inputs": {"a": [1.5, 2], "b": [3]}}),
    ("doubles", {"inputs": {"a": 1.5, "b": 2}}),
    ("doubles", {"inputs": {"a": [1.5, None], "b": [3, 4]}}),
    ("doubles", {"inputs": {"a": [1.5], "b": [3], "c": ["x"]}}),
    ("doubles", {"inputs": [{"a": 1.5, "b": 2}, {"a": 3, "b": 4}]}),
    ("doubles", {"inputs": [[1.5, 2.5]]}),
    ("doubles", {"inputs": [1.5, 2.5]}),
    ("doubles", {"inputs": {"a": ["x"], "b": [1]}}),
    ("doubles", {"instances": [{"a": 1.5, "b": 2}, {"a": 3, "b": 4}]}),
    ("doubles", {"instances": [{"a": 1.5, "b": 2}, {"a": 3}]}),
    ("doubles", {"instances": {"a": [1.5, 2], "b": [3, 4]}}),
    ("doubles", {"instances": [[1.5, 2.5]]}),
    ("numbers", split([True, 1, 2, 3.5, 4.5], names=NUMBERS)),
    ("numbers", split([True, 1, 2, 3, 4], [False, 5, 6, 7.5, 8.5], names=NUMBERS)),
    ("numbers", split([1, 1.7, 2.9, 3.5, 4.5], names=NUMBERS)),
    ("numbers", split([None, 1, 2, 3.5, 4.5], names=NUMBERS)),
    ("numbers", split([True, None, 2, 3.5, 4.5], names=NUMBERS)),
    ("numbers", split([True, 1, None, 3.5, 4.5], names=NUMBERS)),
    ("numbers", split([True, 1, 2, None, None], names=NUMBERS)),
    ("numbers", split([True, "1", "2", "3.5", "4.5"], names=NUMBERS)),
    ("numbers", split([True, 3_000_000_000, 2, 3.5, 4.5], names=NUMBERS)),
    ("numbers", records(dict(zip(NUMBERS, [True, 1, 2, 3.5, 4.5], strict=True)))),
    ("numbers", {"inputs": {"t": [True], "i": [1], "l": [2], "f": [3.5], "d": [4]}}),
    ("numbers", {"inputs": {"t": True, "i": 1, "l": 2, "f": 3.5, "d": 4}}),
    ("numbers", {"inputs": [{"t": True, "i": 1, "l": 2, "f": 3.5, "d": 4}]}),
    ("numbers", {"instances": [{"t": True, "i": 1, "l": 2, "f": 3.5, "d": 4}]}),
    ("flag", split([True], [None], names=["flag"])),
    ("flag", split([0], [2], names=["flag"])),
    ("flag", split(["yes"], names=["flag"])),
    ("flag", {"inputs": [True, False]}),
    ("flag", {"inputs": ["yes"]}),
    ("long", {"inputs": [1, 2]}),
    ("long", {"inputs": [1.5]}),
    ("long", {"inputs": [None]}),
    ("long", {"inputs": ["1"]}),
    ("long", {"inputs": 5}),
    ("long", {"inputs": [[1], [2]]}),
    ("long", {"inputs": {"n": 5}}),
    ("long", split([2**53 + 1], names=["n"])),
    ("integer", {"inputs": [3_000_000_000]}),
    ("integer", split([2**31 - 1], names=["n"])),
    ("float", split([0.1], [16777217], names=["x"])),
    ("float", split([2**60 + 1], names=["x"])),
    ("float", {"inputs": [0.1, 2]}),
    # Text, and columns that may be left out.
    ("text", {"inputs": ["some", "text"]}),
    ("text", {"inputs": "some text"}),
    ("text", {"inputs": [1, 2]}),
    ("text", {"inputs": [None, "x"]}),
    ("text", {"inputs": {"text": "some text"}}),
    ("text", {"inputs": {"text": ["some", "text"]}}),
    ("text", {"inputs": []}),
    ("text", {"instances": ["some", "text"]}),
    ("text", {"instances": [{"text": "some"}, {"text": "text"}]}),
    ("text", split(["some"], ["text"], names=["text"])),
    ("text", split([1], names=["text"])),
    ("text", split([None], names=["text"])),
    ("text", split(["x"], [None], names=["text"])),
    ("text", split(["x"], [1], names=["text"])),
    ("text", records({"text": "ä€😀"})),
    ("mixed", split([1, "x", 3], names=MIXED)),
    ("mixed", split([1, "x"], names=MIXED[:2])),
    ("mixed", split(["x", 1.5], names=["s", "d"])),
    ("mixed", {"inputs": {"d": [1, 2], "s": ["x", "y"], "n": [1, 2]}}),
    ("mixed", {"inputs": {"d": 1, "s": "x"}}),
    ("mixed", {"inputs": [{"d": 1, "s": "x"}]}),
    # Times and bytes.
    ("moments", split(["2024-01-02T03:04:05", "aGk="], names=MOMENTS)),
    ("moments", split(["2024-01-02", "aGk="], ["2024-01-02", ""], names=MOMENTS)),
    ("moments", split([None, "aGk="], names=MOMENTS)),
    ("moments", split([1704164645000000000, "aGk="], names=MOMENTS)),
    ("moments", split(["2024-01-02T03:04:05+02:00", "aGk="], names=MOMENTS)),
    ("moments", split(["soon", "aGk="], names=MOMENTS)),
    ("moments", split(["2024-01-02", "aGk"], names=MOMENTS)),
    ("moments", split(["2024-01-02", 5], names=MOMENTS)),
    ("moments", {"inputs": {"when": ["2024-01-02"], "blob": ["aGk="]}}),
    # Columns without names.
    ("unnamed", split([1.5, 2])),
    ("unnamed", split([1.5, 2], names=["x", "y"])),
    ("unnamed", split([1.5, 2, "z"])),
    ("unnamed", split([1.5])),
    ("unnamed", {"inputs": [[1.5, 2], [3, 4]]}),
    ("unnamed", {"inputs": [1.5, 2]}),
    ("unnamed", {"inputs": {"a": [1.5]}}),
    ("unnamed", {"inputs": [["x", 2]]}),
    ("unnamed text", {"inputs": ["some", "text"]}),
    ("unnamed text", {"inputs": "text"}),
    ("unnamed text", {"instances": ["some"]}),
    ("unnamed text", split(["some"], ["text"])),
    # Tensors.
    ("tensor", {"inputs": [[1, 2, 3.5]]}),
    ("tensor", {"inputs": [[1, 2, 3], [4, 5, 6]]}),
    ("tensor", {"instances": [[1, 2, 3]]}),
    ("tensor", {"inputs": [[1, 2]]}),
    ("tensor", {"inputs": [1, 2, 3]}),
    ("tensor", {"inputs": [[1, 2, "x"]]}),
    ("tensor", {"inputs": [[1, 2, "3"]]}),
    ("tensor", {"inputs": [[1, 2, None]]}),
    ("tensor", {"inputs": [[1, 2, 3], [4, 5]]}),
    ("tensor", {"inputs": {"x": [[1, 2, 3]]}}),
    ("tensor", split([1, 2, 3.5], [4, 5, 6])),
    ("tensor", split([1, 2, 3.5], names=["x", "y", "z"])),
    ("tensor", split([1, 2])),
    ("tensor", split([1, None, 3])),
    ("tensor", split([1, "x", 3])),
    ("tensor", split([[1, 2, 3]], [[4, 5, 6]], names=["row"])),
    ("tensor", split()),
    ("tensor", records({"x": 1, "y": 2, "z": 3})),
    ("tensor32", {"inputs": [[0.1, 2]]}),
    ("tensor32", split([0.1, 2])),
    ("tensor flat", {"inputs": [1, 2]}),
    ("tensor flat", {"inputs": [1.5]}),
    ("tensor flat", {"inputs": [[1]]}),
    ("tensor flat", split([1], [2], names=["n"])),
    ("tensor text", {"inputs": ["some", "text"]}),
    ("tensor text", {"inputs": [1, 2]}),
    ("tensors", {"inputs": {"x": [[1, 2]], "y": [3]}}),
    ("tensors", {"inputs": {"x": [[1, 2]]}}),
    ("tensors", {"inputs": {"x": [[1, 2, 3]], "y": [3]}}),
    ("tensors", {"instances": [{"x": [1, 2], "y": 3}, {"x": [4, 5], "y": 6}]}),
    ("tensors", {"instances": [{"x": [1, 2], "y": 3}, {"x": [4, 5]}]}),
    ("tensors", split([[1, 2], 3], names=["x", "y"])),
    ("tensors", {"inputs": [[1, 2]]}),
    # Params.
    ("params", {**split([1], names=["a"]), "params": {"limit": 5}}),
    ("params", {**split([1], names=["a"]), "params": {"limit": "x"}}),
    ("params", {**split([1], names=["a"]), "params": {"limit": 1.5}}),
    ("params", {**split([1], names=["a"]), "params": {"limit": True}}),
    ("params", {**split([1], names=["a"]), "params": {"limit": None}}),
    ("params", {**split([1], names=["a"]), "params": {"share": 2}}),
    ("params", {**split([1], names=["a"]), "params": {"share": "2"}}),
    ("params", {**split([1], names=["a"]), "params": {"words": ["x", "y"]}}),
    ("params", {**split([1], names=["a"]), "params": {"words": "x"}}),
    ("params", {**split([1], names=["a"]), "params": {"words": ["x", 1]}}),
    ("params", {**split([1], names=["a"]), "params": {"words": []}}),
    ("params", {**split([1], names=["a"]), "params": {"since": "2024-05-06T07:08:09"}}),
    ("params", {**split([1], names=["a"]), "params": {"since": "soon"}}),
    ("params", {**split([1], names=["a"]), "params": {"since": 5}}),
    ("params", {**split([1], names=["a"]), "params": {"unknown": 1}}),
    ("params", {**split([1], names=["a"]), "params": [1]}),
    ("params", {**split([1], names=["a"]), "params": None}),
    # The form of language models: the whole object is the input.
    ("none", {"messages": [{"role": "user", "content": "hi"}], "n": 2}),
    ("none", {"prompt": "hi", "params": {"n": 1}}),
    ("none", {"input": ["hi", "there"]}),
    ("text", {"prompt": "hi"}),
    ("params", {"prompt": "hi", "a": 1.5, "limit": 3}),
    ("params", {"prompt": "hi", "a": 1.5, "limit": "x"}),
    # Nested types.
    ("nested", records(PLACE)),
    ("nested", records({**PLACE, "place": {"city": "Bern"}})),
    ("nested", records({**PLACE, "place": {"zip": 1}})),
    ("nested", records({**PLACE, "place": {"city": "Bern", "street": "x"}})),
    ("nested", records({**PLACE, "tags": "x"})),
    ("nested", records({**PLACE, "tags": [1, 2]})),
    ("nested", records({**PLACE, "scores": {"m": "x"}})),
    ("nested", records({**PLACE, "rest": None})),
    ("nested", records({name: cell for name, cell in PLACE.items() if name != "tags"})),
    ("nested", {"inputs": [PLACE]}),
    ("nested", {"inputs": PLACE}),
]

CSVS: list[tuple[str, str]] = [
    ("none", "a,b\n1,x\n2,y\n"),
    ("none", ""),
    ("none", "a,b\n1,2,3\n"),
    ("doubles", "a,b\n1,2.5\n"),
    ("doubles", "b,a,c\n1,2.5,x\n"),
    ("doubles", "a\n1\n"),
    ("doubles", "a,b\nx,1\n"),
    ("doubles", "a,b\n,1\n"),
    ("mixed", "d,s,n\n1,5,2\n"),
    ("mixed", "d,s\n1,5\n"),
    ("numbers", "t,i,l,f,d\nTrue,1,2,3.5,4.5\n"),
    ("numbers", "t,i,l,f,d\nTrue,1.5,2,3.5,4.5\n"),
    ("unnamed", "x,y\n1,2\n"),
]

Score = Callable[[str, bytes, int], tuple[bool, Any]]


def save(folder: Path, model: Any, signature: ModelSignature | None) -> None:
    mlflow.sklearn.save_model(
        model,
        str(folder),
        signature=signature,
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
        pip_requirements=["scikit-learn"],
    )


def load_ours(folder: Path) -> Predictor:
    return load(str(folder), yaml.safe_load((folder / "MLmodel").read_text()))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for name, signature in SIGNATURES.items():
        save(root / name, Describer(), signature)
    save(root / "failing", Failing(), None)
    return {folder.name: folder for folder in root.iterdir()}


@pytest.fixture(scope="module")
def mlflow_scores(folders: dict[str, Path]) -> Score:
    clients: dict[str, TestClient] = {}

    def score(name: str, body: bytes, media_type: int) -> tuple[bool, Any]:
        if name not in clients:
            app = mlflow.pyfunc.scoring_server.init(mlflow.pyfunc.load_model(str(folders[name])))
            clients[name] = TestClient(app, raise_server_exceptions=False)
        content_type = "application/json" if media_type == MediaType.JSON else "text/csv"
        response = clients[name].post("/invocations", content=body, headers={"Content-Type": content_type})
        return response.status_code == 200, response.json() if response.status_code == 200 else response.text

    return score


@pytest.fixture(scope="module")
def predictors(folders: dict[str, Path]) -> dict[str, Predictor]:
    return {name: load_ours(folder) for name, folder in folders.items()}


def ours(predictor: Predictor, body: bytes, media_type: int) -> tuple[Outcome, Any]:
    [(outcome, answer, *_)], _ = predictor.answer([Asked(media_type, memoryview(body))])
    return outcome, json.loads(answer) if outcome is Outcome.OK else answer.decode()


def as_body(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


CASES = [(name, as_body(value), MediaType.JSON) for name, value in BODIES] + [
    (name, text.encode(), MediaType.CSV) for name, text in CSVS
]


@pytest.mark.parametrize(
    ("name", "body", "media_type"),
    CASES,
    ids=[f"{name}-{body[:60].decode(errors='replace')}" for name, body, _ in CASES],
)
def test_a_body_gets_the_same_answer_as_from_mlflow(
    name: str, body: bytes, media_type: int, mlflow_scores: Score, predictors: dict[str, Predictor]
) -> None:
    accepted, wanted = mlflow_scores(name, body, media_type)
    outcome, given = ours(predictors[name], body, media_type)
    assert (outcome is Outcome.OK) == accepted, f"mlflow: {wanted}\nservery: {given}"
    if accepted:
        assert given == wanted
    else:
        assert outcome in (Outcome.BAD_REQUEST, Outcome.INVALID_INPUT)
        assert given.endswith(".")


class Returning(BaseEstimator):  # type: ignore[misc]
    """Answers with what ``OUTPUTS`` has under the name that it is given."""

    def predict(self, data: Any) -> Any:
        return OUTPUTS[str(data[0])]


OUTPUTS: dict[str, Any] = {
    "ints": np.array([1, 2]),
    "float32": np.array([0.1, 2.5], dtype=np.float32),
    "matrix": np.array([[0.25, 0.75]]),
    "bools": np.array([True, False]),
    "texts": np.array(["a", "bc"]),
    "objects": np.array([1, "a", None, 2.5], dtype=object),
    "single": np.array(5),
    "frame": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
    "frame of numbered columns": pd.DataFrame([[1, 2.5]]),
    "frame of times": pd.DataFrame({"t": pd.to_datetime(["2024-01-02T03:04:05"])}),
    "frame of arrays": pd.DataFrame({"a": [np.array([1.5, 2.5])]}),
    "series": pd.Series([1, 2]),
    "named series": pd.Series([1, 2], name="score"),
    "list": [1, "a", None, True, [2.5]],
    "list of numpy": [np.float64(0.5), np.int64(3), np.bool_(True), np.str_("x"), np.array([1, 2])],
    "dict": {"a": np.array([1.5]), "b": {"c": [np.float32(0.5)]}},
    "dict of numbered keys": {1: "a", 2: "b"},
    "tuple": (1, 2),
    "text": 'a "text" with ä€😀 and \ud800',
    "number": 2.5,
    "nothing": None,
    "numpy number": np.float64(2.5),
    "large": [2**70, -(2**70), 1e300],
    "bytes": [b"hi", b"x" * 100],
    "time": [pd.Timestamp("2024-01-02T03:04:05.678"), pd.Timestamp("2024-01-02", tz="UTC").to_pydatetime()],
    "set": {1, 2},
    "object": object(),
    "complex": np.array([1j]),
    "list of frames": [pd.DataFrame({"a": [1]})],
}


@pytest.fixture(scope="module")
def returning(tmp_path_factory: pytest.TempPathFactory) -> tuple[TestClient, Predictor]:
    folder = tmp_path_factory.mktemp("returning") / "model"
    save(folder, Returning(), None)
    app = mlflow.pyfunc.scoring_server.init(mlflow.pyfunc.load_model(str(folder)))
    return TestClient(app, raise_server_exceptions=False), load_ours(folder)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_is_written_as_mlflow_writes_it(name: str, returning: tuple[TestClient, Predictor]) -> None:
    client, predictor = returning
    body = as_body({"inputs": [name]})
    response = client.post("/invocations", content=body, headers={"Content-Type": "application/json"})
    outcome, given = ours(predictor, body, MediaType.JSON)
    if response.status_code == 200:
        assert (outcome, given) == (Outcome.OK, response.json())
    else:
        assert response.status_code == 500
        assert outcome is Outcome.UNENCODABLE


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("long", split([1e19], names=["n"])),
        ("integer", split([1e10], names=["n"])),
        ("long", split([2**64], names=["n"])),
    ],
)
def test_a_float_beyond_a_column_of_integers_is_refused_where_mlflow_makes_something_up(
    name: str, body: Any, predictors: dict[str, Predictor]
) -> None:
    """On purpose: the cast that mlflow does there is undefined, and gives another number on another machine."""
    outcome, sentence = ours(predictors[name], as_body(body), MediaType.JSON)
    assert outcome is Outcome.BAD_REQUEST
    assert "in row 0" in sentence


def test_a_model_that_raises_is_told_apart_from_a_bad_request(
    predictors: dict[str, Predictor], mlflow_scores: Score
) -> None:
    """On purpose: mlflow says that the request was bad; here the gateway decides what the caller is told."""
    assert mlflow_scores("failing", b'{"inputs": [1]}', MediaType.JSON)[0] is False
    assert ours(predictors["failing"], b'{"inputs": [1]}', MediaType.JSON) == (
        Outcome.MODEL_RAISED,
        "The model raised ValueError: no such thing",
    )


DATA: list[tuple[str, Any]] = [
    ("doubles", pd.DataFrame({"b": [1.5], "a": [2.5], "c": ["x"]})),
    ("doubles", pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})),
    ("doubles", pd.DataFrame({"a": [1, 0], "b": [0.5, 1.5]})),
    ("doubles", pd.DataFrame({"a": np.array([7], "int32"), "b": np.array([7], "uint16")})),
    ("doubles", pd.DataFrame({"a": np.array([7], "float32"), "b": np.array([True])})),
    ("doubles", pd.DataFrame({"a": [1.5]})),
    ("doubles", pd.DataFrame({"a": [1.5], "b": ["x"]})),
    ("doubles", pd.DataFrame({"a": [1.5], "b": [None]})),
    ("doubles", pd.DataFrame({"a": [1.5, 2.5], "b": [3.5, 4.5]}, index=["x", "y"])),
    ("doubles", {"a": [1.5, 2.5], "b": [3.5, 4.5]}),
    ("doubles", {"a": np.array([1.5]), "b": np.array([3.5])}),
    ("doubles", {"a": np.array([[1.5]]), "b": np.array([3.5])}),
    ("doubles", {"a": 1.5, "b": 3.5}),
    ("doubles", [[1.5, 2.5]]),
    ("doubles", [{"a": 1.5, "b": 2.5}]),
    ("doubles", 5.0),
    ("long", pd.DataFrame({"n": np.array([1], "int32")})),
    ("long", pd.DataFrame({"n": np.array([1], "uint64")})),
    ("long", pd.DataFrame({"n": [1.0, np.nan]})),
    ("long", pd.Series([1, 2], name="n")),
    ("integer", pd.DataFrame({"n": [1]})),
    ("float", pd.DataFrame({"x": [1.5]})),
    ("flag", pd.DataFrame({"flag": [True, None]})),
    ("flag", pd.DataFrame({"flag": [1]})),
    ("text", ["some", "text"]),
    ("text", {"text": ["some", "text"]}),
    ("text", "some text"),
    ("text", pd.DataFrame({"text": [1]})),
    ("text", pd.DataFrame({"text": pd.Series(["x"], dtype=object)})),
    ("moments", pd.DataFrame({"when": pd.to_datetime(["2024-01-02"]), "blob": [b"x"]})),
    ("moments", pd.DataFrame({"when": pd.to_datetime(["2024-01-02"]).tz_localize("UTC"), "blob": [b"x"]})),
    ("unnamed", np.array([[1.5, 2.5]])),
    ("unnamed", pd.DataFrame({"x": [1.5], "y": [2.5], "z": ["w"]})),
    ("unnamed", np.array([[1.5]])),
    ("tensor", np.array([[1.0, 2, 3]])),
    ("tensor", np.array([[1, 2, 3]])),
    ("tensor", np.array([[1.0, 2]])),
    ("tensor", pd.DataFrame([[1.5, 2, 3]])),
    ("tensor", [[1.0, 2.0, 3.0]]),
    ("tensors", {"x": np.array([[1.0, 2.0]]), "y": np.array([3])}),
    ("tensors", {"x": [[1.0, 2.0]], "y": [3]}),
    ("none", [1, "x"]),
    ("none", {"a": 1}),
]


@pytest.mark.parametrize(("name", "data"), DATA, ids=[f"{name}-{index}" for index, (name, _) in enumerate(DATA)])
def test_predicting_in_process_enforces_the_signature_as_mlflow_does(
    name: str, data: Any, folders: dict[str, Path], predictors: dict[str, Predictor]
) -> None:
    try:
        wanted = mlflow.pyfunc.load_model(str(folders[name])).predict(data)
    except mlflow.MlflowException:
        with pytest.raises(InvalidInput, match=r"\.$"):
            predictors[name].predict(data)
    else:
        assert repr(predictors[name].predict(data)) == repr(wanted)


@pytest.mark.parametrize(
    "params",
    [value["params"] for name, value in BODIES if name == "params" and "params" in value]
    + [{}, {"share": np.float64(1)}, {"limit": np.int32(3)}, {"words": np.array(["x"])}],
    ids=str,
)
def test_params_become_what_mlflow_makes_of_them(params: Any, predictors: dict[str, Predictor]) -> None:
    signature = predictors["params"].signature
    assert signature is not None
    try:
        wanted = _enforce_params_schema(params, PARAMS)
    except mlflow.MlflowException:
        with pytest.raises(InvalidInput, match=r"\.$"):
            enforce_params(params, signature.params)
    else:
        given = enforce_params(params, signature.params)
        assert given is not None
        assert {name: (type(value), value) for name, value in given.items()} == {
            name: (type(value), value) for name, value in wanted.items()
        }


@pytest.mark.parametrize("serialization", ["cloudpickle", "pickle", "skops"])
@pytest.mark.parametrize("function", ["predict", "predict_proba", "predict_log_proba"])
def test_a_real_model_predicts_what_it_predicts_in_mlflow(serialization: str, function: str, tmp_path: Path) -> None:
    features = np.random.default_rng(7).normal(size=(60, 4))
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=1))
    model.fit(features, features[:, 0] > 0)
    mlflow.sklearn.save_model(
        model,
        str(tmp_path / "model"),
        serialization_format=serialization,
        skops_trusted_types=["sklearn.tree._tree.Tree"] if serialization == "skops" else None,
        pyfunc_predict_fn=function,
        input_example=features[:3],
        pip_requirements=["scikit-learn"],
    )
    predictor = load_ours(tmp_path / "model")
    app = mlflow.pyfunc.scoring_server.init(mlflow.pyfunc.load_model(str(tmp_path / "model")))
    body = (tmp_path / "model" / "serving_input_example.json").read_bytes()
    response = TestClient(app).post("/invocations", content=body, headers={"Content-Type": "application/json"})
    outcome, answer = ours(predictor, body, MediaType.JSON)
    assert outcome is Outcome.OK
    assert json.dumps(answer) == json.dumps(response.json()).replace("-Infinity", "null")
