"""The campaign's inputs: generated from signature types, good and bad, in every form that a body has."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property, SparkMLVector

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"


class Case(NamedTuple):
    """One request."""

    what: str
    content_type: str
    body: bytes


class Group(NamedTuple):
    """A signature, and the requests to its model."""

    name: str
    signature: ModelSignature | None
    cases: list[Case]


GOOD: dict[str, list[Any]] = {
    "boolean": [True, False],
    "integer": [1, -5, 2**31 - 1, -(2**31)],
    "long": [1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "float": [1.5, 0.1, 3, 16777217],
    "double": [1.5, 0.1, 3, 2**53 + 1, 1e300],
    "string": ["x", "", "ä€😀", "7"],
    "binary": ["aGk=", "", "aGk=\n"],
    "datetime": ["2024-01-02", "2024-01-02T03:04:05", "2024-01-02T03:04:05.123456789"],
}
ODD: list[Any] = [
    None,
    True,
    0,
    7,
    7.0,
    1.5,
    -1,
    2**31,
    2**63,
    2**64,
    10**30,
    1e19,
    1e39,
    float("nan"),
    float("-inf"),
    "",
    "text",
    "7",
    "1.5",
    "true",
    "2024-01-02",
    "2024-13-01",
    "2024-01-02T03:04:05+02:00",
    "aGk",
    [],
    [1],
    ["x", None],
    [[1]],
    {},
    {"a": 1},
    {"a": 1, "b": "x"},
]
PLACE = Object([Property("a", DataType.long), Property("b", DataType.string, required=False)])
NESTED: dict[str, tuple[Any, list[Any]]] = {
    "array of long": (Array(DataType.long), [[1, 2], [], [2**63 - 1]]),
    "array of string": (Array(DataType.string), [["x", "y"], []]),
    "array of boolean": (Array(DataType.boolean), [[True, False]]),
    "array of datetime": (Array(DataType.datetime), [["2024-01-02"]]),
    "array of arrays": (Array(Array(DataType.double)), [[[1.5], [2.5, 3.5]], [[]]]),
    "array of objects": (Array(PLACE), [[{"a": 1}, {"a": 2, "b": "y"}], [{"b": "y"}], [{"a": 1, "c": 2}]]),
    "object": (PLACE, [{"a": 1, "b": "x"}, {"a": 1}, {"a": 1, "b": None}, {"b": "x"}, {"a": "x"}, {"a": 1, "c": 1}]),
    "map": (Map(DataType.double), [{"m": 1.5, "n": 2.5}, {"m": "x"}, {"m": 1}]),
    "map of maps": (Map(Map(DataType.long)), [{"m": {"n": 1}}, {"m": {}}]),
    "any": (AnyType(), [1, "x", [1, "x"], {"m": [None]}]),
    "vector": (SparkMLVector(), [[1.5, 2.5], [1, 2]]),
}
DTYPES = "bool int8 int16 int32 int64 uint8 uint64 float16 float32 float64 complex128 str bytes object datetime64[ns]"
ARRAYS: dict[str, list[Any]] = {
    "numbers": [[1, 2], [3, 4]],
    "fractions": [[1.5, 2], [3, 4]],
    "small": [[1, 0], [0, 1]],
    "negative": [[-1, 2]],
    "large": [[300, 2**40]],
    "huge": [[1e19, 1e30]],
    "nulls": [[1, None]],
    "texts": [["x", "7"]],
    "digits": [["1", "2"]],
    "moments": [["2024-01-02", "2024-01-03"]],
    "booleans": [[True, False]],
    "narrow": [[1], [2]],
    "wide": [[1, 2, 3]],
    "ragged": [[1, 2], [3]],
    "deep": [[[1, 2]], [[3, 4]]],
    "flat": [1, 2],
    "empty": [],
}


def _json(what: str, value: Any) -> Case:
    return Case(what, JSON, json.dumps(value).encode())


def tables(rows: list[list[Any]], names: list[str]) -> Iterator[Case]:
    """One table in every form that can hold it."""
    objects = [dict(zip(names, row, strict=False)) for row in rows]
    columns = {name: [row[place] for row in rows if place < len(row)] for place, name in enumerate(names)}
    yield _json("split", {"dataframe_split": {"columns": names, "data": rows}})
    yield _json("records", {"dataframe_records": objects})
    yield _json("columns", {"inputs": columns})
    yield _json("rows", {"inputs": objects})
    yield _json("instances", {"instances": objects})
    if len(rows) == 1:
        yield _json("one", {"inputs": objects[0]})
    frame = pd.DataFrame(objects, columns=pd.Index(names))
    yield Case("csv", CSV, frame.to_csv(index=False).encode("utf-8", "replace"))
    file = io.BytesIO()
    try:
        frame.to_parquet(file)
    except (
        ValueError,
        TypeError,
        OverflowError,
        NotImplementedError,
    ):  # Not everything that JSON holds has a form in Parquet.
        return
    yield Case("parquet", PARQUET, file.getvalue())


def _columns(name: str, kind: Any, good: list[Any], *, required: bool) -> Group:
    """A column of text and one of ``kind``: every value alone and after a good one, and tables of other shapes."""
    names = ["key", "v"]
    signature = ModelSignature(Schema([ColSpec(DataType.string, "key"), ColSpec(kind, "v", required=required)]))
    odd = ODD if required else ODD[:6]  # It is the nulls that are of interest in an optional column.
    cases = [case for value in good + odd for case in tables([["k", value]], names)]
    cases += [case for value in odd for case in tables([["k", good[0]], ["k", value]], names)]
    for other, row in SHAPES.items():
        cases += tables([[good[0] if cell == "v" else cell for cell in row]] * 2, other.split())
    cases += tables([], names)
    return Group(f"{name}{'' if required else ', optional'}", signature, cases)


SHAPES: dict[str, list[Any]] = {
    "v key": ["v", "k"],
    "key": ["k"],
    "v": ["v"],
    "more key v": [1.5, "k", "v"],
    "key v text list": ["k", "v", "x", [1]],
    "Key v": ["k", "v"],
}


def _unnamed(name: str, good: list[Any]) -> Group:
    signature = ModelSignature(Schema([ColSpec(DataType[name])] * 2))
    cases = []
    for value in good + ODD:
        rows = [[value, good[0]]]
        cases += [_json("unnamed split", {"dataframe_split": {"data": rows}}), _json("lists", {"inputs": rows})]
        cases += [_json("instances", {"instances": rows}), _json("list", {"inputs": [value]})]
        cases += tables(rows, ["x", "y"])
    cases += [_json("too few", {"inputs": [[good[0]]]}), _json("too many", {"inputs": [[good[0]] * 3]})]
    return Group(f"unnamed {name}", signature, cases)


def _single(name: str, good: list[Any]) -> Group:
    signature = ModelSignature(Schema([ColSpec(DataType[name], "v")]))
    values = [[value] for value in good + ODD] + [[good[0], value] for value in ODD] + good + ODD
    cases = [_json(form, {form: value}) for value in values for form in ("inputs", "instances")]
    return Group(f"only {name}", signature, cases)


def _tensor(dtype: str, *, named: bool) -> Group:
    shapes: list[tuple[int, ...]] = [(-1, 2)]
    specs = [TensorSpec(np.dtype(dtype), shape, "x" if named else None) for shape in shapes]
    cases = []
    for what, array in ARRAYS.items():
        if named:
            cases += [_json(what, {"inputs": {"x": array}}), _json(what, {"inputs": array})]
            cases += [_json(what, {"instances": [{"x": row} for row in array]})]
            cases += tables([[row] for row in array], ["x"])
            continue
        rows = [row if isinstance(row, list) else [row] for row in array]
        cases += [_json(what, {form: array}) for form in ("inputs", "instances")]
        cases += [_json(what, {"dataframe_split": {"data": rows}}), _json(what, {"inputs": {"x": array}})]
        if rows and all(len(row) == len(rows[0]) for row in rows):
            cases += tables(rows, ["a", "b", "c"][: len(rows[0])])
        cases += tables([[row] for row in array], ["row"])
    if not named:
        cases += [_json("index", {"dataframe_split": {"data": [[[1, 2]]], "index": [label]}}) for label in (0, 5)]
    return Group(f"{'named ' if named else ''}tensor of {dtype}", ModelSignature(Schema(specs)), cases)


def _shape(shape: tuple[int, ...]) -> Group:
    signature = ModelSignature(Schema([TensorSpec(np.dtype("int64"), shape)]))
    cases = [_json(what, {"inputs": array}) for what, array in ARRAYS.items()] + [_json("scalar", {"inputs": 5})]
    return Group(f"tensor of shape {shape}", signature, cases)


def _param(name: str, kind: Any, default: Any, shape: tuple[int, ...] | None = None) -> Group:
    spec = ParamSpec("p", kind, default, shape)
    signature = ModelSignature(Schema([ColSpec(DataType.double, "a")]), params=ParamSchema([spec]))
    values = ODD + [value for good in GOOD.values() for value in good] + [["x"], [1, 2], [1.5], [True], [[1], [2, 3]]]
    sent: list[Any] = [{"p": value} for value in values] + [{}, {"q": 1}]
    sent += [None, [], "x", 1]
    cases = [_json("params", {"inputs": {"a": [1.5]}, "params": params}) for params in sent]
    cases += [_json("bad data", {"dataframe_records": [{"a": "x"}], "params": {"p": [[1]]}})]
    cases += [_json("llm", {"prompt": "hi", "a": 1.5, "p": value}) for value in ODD]
    return Group(f"param {name}", signature, cases)


def _without_signature() -> Group:
    values = [value for good in GOOD.values() for value in good] + ODD
    cases = [case for value in values for case in tables([["k", value], ["l", value]], ["key", "v"])]
    cases += [_json(form, {form: value}) for value in [*values, *ARRAYS.values()] for form in ("inputs", "instances")]
    cases += [_json(form, {form: value}) for value in values for form in ("dataframe_split", "dataframe_records")]
    return Group("no signature", None, cases)


BROKEN: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"[1]",
    b'"x"',
    b"{}",
    b'{"inputs": [1]',
    b'{"inputs": [1], "instances": [1]}',
    b'{"inputs": [1], "dataframe_split": {"data": [[1]]}}',
    b'{"data": [[1]]}',
    b'{"inputs": [1], "inputs": [2]}',
    b'{"inputs": [1], "other": 2}',
    b'{"inputs": [1,]}',
    b'{"inputs": [01]}',
    b"{'inputs': [1]}",
    b'{"inputs": ["\x00"]}',
    b'{"inputs": ["\xff"]}',
    b'\xef\xbb\xbf{"inputs": [1]}',
    '{"inputs": [1]}'.encode("utf-16"),
    b'{"inputs": [NaN, Infinity]}',
    b'{"inputs": ["\\ud800"]}',
    b'{"inputs": [1e400]}',
    b'{"dataframe_split": {"columns": ["a"]}}',
    b'{"dataframe_split": {"data": [[1]], "rows": 1}}',
    b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}',
    b'{"dataframe_split": {"data": [[1], [1, 2]]}}',
    b'{"dataframe_split": {"data": [[1]], "index": [1, 2]}}',
    b'{"dataframe_split": {"data": {"a": [1, 2]}}}',
    b'{"dataframe_split": {"data": 5}}',
    b'{"dataframe_records": [1, 2]}',
    b'{"dataframe_records": [{"a": 1}, 2]}',
    b'{"dataframe_records": {"a": 1}}',
    b'{"instances": [{"a": 1}, 2]}',
    b'{"instances": [{"a": 1}, {"a": 2, "b": 3}]}',
    b'{"instances": {"a": [1, 2], "b": [1]}}',
    b'{"dataframe_records": [{"a": 1.5, "more": "\\ud800"}]}',
    b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2], [3, 4]]}}',
    b'{"dataframe_split": {"columns": ["rest", "rest"], "data": [[1, 2], [3, 4]]}}',
    b'{"inputs": ' + b"[" * 100_000,
    b'{"inputs": ' + b"9" * 5000 + b"}",
]
BROKEN_CSV = [
    b"",
    b"a\n",
    b"a\n1,2\n",
    b"a,a\n1,2\n",
    b'a\n"1\n',
    b"\xff\n1\n",
    b"b\n1\n",
    b"a;b\n1;2\n",
    b"a\nx\n",
    b"\n",
]
GOOD_BODY = b'{"inputs": {"a": [1.5]}}'
CONTENT_TYPES = [
    "application/json; charset=utf-8",
    "application/json;charset=UTF-8",
    "application/json; charset=latin-1",
    "application/json; version=1",
    "application/json; charset=utf-8; version=1",
    'application/json; charset="utf-8"',
    "application/json; charset=utf8",
    "application/json;",
    "APPLICATION/JSON",
    "text/json",
    "text/plain",
    "application/csv",
    "application/octet-stream",
    "json",
]


def _broken() -> Group:
    columns = [ColSpec(DataType.double, "a", required=False), ColSpec(AnyType(), "rest", required=False)]
    cases = [Case("broken", JSON, body) for body in BROKEN] + [Case("csv", CSV, body) for body in BROKEN_CSV]
    cases += [Case("parquet", PARQUET, body) for body in (b"", b"PAR1", b"a\n1\n")]
    cases += [Case("content type", content_type, GOOD_BODY) for content_type in CONTENT_TYPES]
    return Group("broken bodies", ModelSignature(Schema(columns)), cases)


def groups() -> Iterator[Group]:
    """Every signature of the campaign with its requests."""
    for name, good in GOOD.items():
        for required in (True, False):
            yield _columns(name, DataType[name], good, required=required)
        yield _unnamed(name, good)
        yield _single(name, good)
    for name, (kind, good) in NESTED.items():
        for required in (True, False):
            yield _columns(name, kind, good, required=required)
    for dtype in DTYPES.split():
        yield _tensor(dtype, named=False)
        yield _tensor(dtype, named=True)
    for shape in ((-1,), (2, 2), (-1, -1), (-1, 1), (-1, -1, 2), ()):
        yield _shape(shape)
    for name, default in PARAM_DEFAULTS.items():
        yield _param(name, DataType[name], default)
        yield _param(f"list of {name}", DataType[name], [default], (-1,))
    yield _param("object", PLACE, {"a": 1})
    yield _param("without default", DataType.long, None)
    yield _without_signature()
    yield _broken()


PARAM_DEFAULTS: dict[str, Any] = {
    "boolean": True,
    "integer": 3,
    "long": 4,
    "float": 0.5,
    "double": 1.5,
    "string": "s",
    "datetime": np.datetime64("2020-01-01"),
}
