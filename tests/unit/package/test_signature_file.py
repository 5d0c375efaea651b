"""A signature in an MLmodel file is read where MLflow reads it, and refused where it contradicts itself."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.types import ParamSchema, Schema
from mlflow.types.agent import CHAT_AGENT_INPUT_SCHEMA, CHAT_AGENT_OUTPUT_SCHEMA
from mlflow.types.llm import CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA, EMBEDDING_MODEL_INPUT_SCHEMA
from mlflow.types.responses import RESPONSES_AGENT_INPUT_SCHEMA, RESPONSES_AGENT_OUTPUT_SCHEMA

from servery.errors import PackageInvalid
from servery.package.mlmodel import parse_mlmodel
from servery_worker.schema import Column, ColumnType, SchemaError, Signature
from servery_worker.signature_file import DEPTH_MAX

Entries = list[dict[str, Any]]

LONG: dict[str, Any] = {"type": "long", "name": "a", "required": True}


def tensor(dtype: Any = "float64", shape: Any = (-1, 3), **more: Any) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}, **more}


def param(kind: str, default: Any, **more: Any) -> dict[str, Any]:
    return {"name": "p", "type": kind, "default": default, "shape": None, **more}


def nested(depth: int) -> dict[str, Any]:
    return {"type": "array", "items": nested(depth - 1)} if depth else {"type": "long"}


def read(inputs: Any = None, params: Any = None) -> Signature | None:
    return Signature.from_manifest({"inputs": inputs, "outputs": None, "params": params})


CONTRADICTIONS: dict[str, tuple[Entries, str]] = {
    "no entries": ([], "empty list"),
    "named and unnamed columns": ([LONG, {"type": "long"}], "with a name and without"),
    "columns and tensors": ([LONG, tensor(name="b")], "mixes columns and tensors"),
    "several unnamed tensors": ([tensor(), tensor()], "several tensors without a name"),
    "an unnamed optional column": ([{"type": "long", "required": False}], r"inputs\[0\]' is optional, but has no name"),
    "a name twice": ([LONG, LONG], "the name 'a' twice"),
    "a tensor's name twice": ([tensor(name="x"), tensor(name="x")], "the name 'x' twice"),
    "a name that is a list": ([{**LONG, "name": ["a"]}], "name that is not text"),
    "no type": ([{"name": "a"}], "unknown type None"),
    "an unknown type": ([{**LONG, "type": "int"}], "unknown type 'int'"),
    "a type that is a number": ([{**LONG, "type": 4}], "unknown type 4"),
    "an unknown field": ([{**LONG, "shape": [1]}], "unknown field 'shape'"),
    "required that is text": ([{**LONG, "required": "no"}], "'required' as 'no'"),
    "an array without items": ([{"type": "array", "name": "a"}], "of type array, but has no items"),
    "items that are text": ([{"type": "array", "items": "long", "name": "a"}], "no items"),
    "items without type": ([{"type": "array", "items": {"name": "b"}, "name": "a"}], r"items' has the unknown type"),
    "an object without properties": ([{"type": "object", "name": "a"}], "of type object, but has no properties"),
    "an object with none": ([{"type": "object", "properties": {}, "name": "a"}], "no properties"),
    "a property that is text": ([{"type": "object", "properties": {"b": "long"}}], r"inputs\[0\].b' is not an object"),
    "a map without values": ([{"type": "map", "name": "a"}], "of type map, but has no values"),
    "a deep property of unknown type": (
        [{"type": "array", "items": {"type": "object", "properties": {"b": {"type": "map", "values": {"type": "x"}}}}}],
        r"inputs\[0\]\.items\.b\.values' has the unknown type 'x'",
    ),
    "deep nesting": ([nested(DEPTH_MAX + 1)], "more than 32 levels"),
    "a tensor without a spec": ([{"type": "tensor"}], "without dtype and shape"),
    "an unknown dtype": ([tensor("float7")], "unknown dtype 'float7'"),
    "a text dtype with a length": ([tensor("<U5")], "unknown dtype '<U5'"),
    "a dtype that is null": ([tensor(None)], "unknown dtype None"),
    "a length below -1": ([tensor(shape=[-2, 3])], r"the shape \[-2, 3\]"),
    "a length of text": ([tensor(shape=[-1, "3"])], "the shape"),
    "a length that is a fraction": ([tensor(shape=[1.5])], "the shape"),
    "a length beyond 64 bits": ([tensor(shape=[1 << 63])], "the shape"),
    "more dimensions than numpy has": ([tensor(shape=[-1] * 65)], "the shape"),
    "a shape that is text": ([tensor(shape="ab")], "the shape 'ab'"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradicting_inputs_are_refused_with_their_place(case: str) -> None:
    entries, named = CONTRADICTIONS[case]
    with pytest.raises(SchemaError, match=named) as raised:
        read(json.dumps(entries))
    assert str(raised.value).startswith("'signature.inputs")


PARAMS: dict[str, tuple[Entries, str]] = {
    "a name twice": ([param("long", 1), param("long", 2)], "the name 'p' twice"),
    "no default": ([{"name": "p", "type": "long"}], "no default"),
    "no name": ([{"type": "long", "default": 1}], "no name"),
    "binary": ([param("binary", "eA==")], "a param cannot be"),
    "an array": ([param("array", [1], items={"type": "long"})], "a param cannot be"),
    "any": ([param("any", 1)], "a param cannot be"),
    "text for a long": ([param("long", "1")], "the default '1'; expected long"),
    "a fraction for a long": ([param("long", 1.5)], "expected long"),
    "a boolean for a long": ([param("long", True)], "expected long"),
    "a number for a boolean": ([param("boolean", 1)], "expected boolean"),
    "a number for a text": ([param("string", 1)], "expected string"),
    "no moment": ([param("datetime", "2024-02-30")], "expected datetime"),
    "a number too large for a double": ([param("double", 10**400)], "expected double"),
    "one value for a list": ([param("long", 1, shape=[-1])], "expected a list of long"),
    "null for a list": ([param("long", None, shape=[-1])], "expected a list of long"),
    "a list for one value": ([param("long", [1])], "expected long"),
    "a list of lists": ([param("long", [[1]], shape=[-1])], "expected a list of long"),
    "another shape": ([param("long", [1, 2], shape=[2])], r"the shape \[2\]"),
    "a shape that is a number": ([param("long", [1], shape=-1)], "the shape -1"),
    "an object without its property": (
        [param("object", {}, properties={"a": {"type": "long"}})],
        "the default {}; expected object",
    ),
    "an object with another's": ([param("object", {"b": 1}, properties={"a": {"type": "long"}})], "expected object"),
}


@pytest.mark.parametrize("case", PARAMS)
def test_contradicting_params_are_refused_with_their_place(case: str) -> None:
    entries, named = PARAMS[case]
    with pytest.raises(SchemaError, match=named) as raised:
        read(params=json.dumps(entries))
    assert str(raised.value).startswith("'signature.params")


@pytest.mark.parametrize("text", ["[{", "[" * 100_000, '[{"type": "long", "type": "double"}]', "9" * 5000, "{}", "[1]"])
def test_text_that_is_no_list_of_objects_is_refused(text: str) -> None:
    with pytest.raises(SchemaError, match=r"'signature\.inputs' is not"):
        read(text)


def test_the_host_says_that_it_is_in_the_mlmodel_file() -> None:
    text = 'flavors: {python_function: {loader_module: a}}\nsignature: {inputs: \'[{"type": "array"}]\'}'
    with pytest.raises(PackageInvalid, match=r"^The MLmodel file has a broken signature: 'signature\.inputs\[0\]'"):
        parse_mlmodel(text.encode())


STOCK_SCHEMAS = {
    "chat model": (CHAT_MODEL_INPUT_SCHEMA, CHAT_MODEL_OUTPUT_SCHEMA),
    "embeddings": (EMBEDDING_MODEL_INPUT_SCHEMA, EMBEDDING_MODEL_INPUT_SCHEMA),
    "chat agent": (CHAT_AGENT_INPUT_SCHEMA, CHAT_AGENT_OUTPUT_SCHEMA),
    "responses agent": (RESPONSES_AGENT_INPUT_SCHEMA, RESPONSES_AGENT_OUTPUT_SCHEMA),
}


@pytest.mark.parametrize("case", STOCK_SCHEMAS)
def test_mlflows_own_schemas_are_read(case: str) -> None:
    inputs, outputs = STOCK_SCHEMAS[case]
    signature = Signature.from_manifest({"inputs": inputs.to_json(), "outputs": outputs.to_json(), "params": None})
    assert signature is not None
    assert signature.inputs is not None
    assert [column.name for column in signature.inputs] == [column.name for column in inputs]


def test_what_older_releases_wrote_is_read() -> None:
    old = read('[{"type": "long", "name": "a", "optional": true}]', '[{"name": "p", "dtype": "long", "default": 1}]')
    assert old is not None
    assert old.inputs == (Column(ColumnType.LONG, "a", required=False),)
    assert old.params is not None
    assert old.params[0].type is ColumnType.LONG


def test_a_spark_vector_is_an_array_of_doubles() -> None:
    signature = read('[{"type": "sparkml_vector", "name": "a", "required": true}]')
    assert signature is not None
    assert signature.inputs == (Column(ColumnType.ARRAY, "a", True, {"items": {"type": "double"}}),)


SCALARS = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
DEFAULTS: dict[str, Any] = {"boolean": True, "integer": 0, "long": 1 << 40, "float": 1.5, "double": 0.25, "string": "x"}
DEFAULTS["datetime"] = "2024-01-02T03:04:05"
OTHERS: tuple[Any, ...] = (
    None,
    True,
    1,
    -1,
    1.5,
    "x",
    "long",
    "tensor",
    "object",
    "a0",
    [],
    [1],
    {},
    {"type": "long"},
    "<i4",
    "2024-13",
)


def some_type(choose: random.Random, depth: int = 0) -> dict[str, Any]:
    kind = choose.choice((*SCALARS, "array", "object", "map", "any")) if depth < 3 else "long"
    if kind == "object":
        properties = {name: {**some_type(choose, depth + 1), "required": choose.random() < 0.5} for name in ("p", "q")}
        return {"type": kind, "properties": properties}
    inner = {"array": "items", "map": "values"}.get(kind)
    return {"type": kind, **({inner: some_type(choose, depth + 1)} if inner else {})}


def some_inputs(choose: random.Random) -> Entries:
    if choose.random() < 0.3:
        return [tensor(choose.choice(("float64", "str", "bool", "uint8")), [-1, 3])]
    named = choose.random() < 0.7
    return [
        {**some_type(choose), **({"name": f"a{index}", "required": choose.random() < 0.5} if named else {})}
        for index in range(choose.randint(1, 3))
    ]


def some_params(choose: random.Random) -> Entries:
    kinds = [choose.choice(tuple(DEFAULTS)) for _ in range(choose.randint(0, 3))]
    lists = [choose.random() < 0.4 for _ in kinds]
    return [
        {**param(kind, [DEFAULTS[kind]] if many else DEFAULTS[kind], shape=[-1] if many else None), "name": f"p{index}"}
        for index, (kind, many) in enumerate(zip(kinds, lists, strict=True))
    ]


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


def spoiled(entries: Entries, choose: random.Random) -> Entries:
    """One value somewhere is another one, is gone, or is there twice."""
    changed: Entries = json.loads(json.dumps(entries))
    found = list(containers(changed))
    if not found:
        return changed
    place = choose.choice(found)
    key = choose.choice(list(place) if isinstance(place, dict) else range(len(place)))
    how = choose.choice(("replace", "remove", "repeat"))
    if how == "remove":
        del place[key]
    elif how == "repeat" and isinstance(place, list):
        place.append(place[key])
    else:
        place[key] = choose.choice(OTHERS)
    return changed


@pytest.mark.parametrize("said", [True, False])
def test_a_column_that_is_said_to_be_both_required_and_optional_is_refused(said: bool) -> None:
    text = json.dumps([{"type": "long", "name": "a", "required": said, "optional": said}])
    assert "both required and optional" in str(our_refusal("inputs", text))


STRICTER = ("twice", "the shape", "the unknown dtype", "'required' as", "name that is not text")
"""What we refuse and MLflow reads: docs/packaging.md lists it."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(20))
def test_what_mlflow_refuses_is_refused_and_what_it_takes_is_taken(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(100):
        is_params, is_whole = choose.random() < 0.3, choose.random() < 0.3
        entries = some_params(choose) if is_params else some_inputs(choose)
        text = json.dumps(entries if is_whole else spoiled(entries, choose))
        theirs = mlflows_refusal(ParamSchema if is_params else Schema, text)
        ours = our_refusal("params" if is_params else "inputs", text)
        if theirs is not None:
            assert ours is not None, f"mlflow refuses {text}: {theirs}"
        elif ours is not None:
            assert not is_whole, text
            assert any(words in ours for words in STRICTER), f"mlflow reads {text}; we say: {ours}"


def mlflows_refusal(schema: Any, text: str) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema.from_json(text)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def our_refusal(part: str, text: str) -> str | None:
    try:
        Signature.from_manifest({part: text})
    except SchemaError as error:
        return str(error)
    return None
