"""What the schemas of requests promise, the guest takes: each form, of each type, read as a worker reads it."""

from __future__ import annotations

import json
from typing import Any, cast

import jsonschema
import pytest

from servery.serving.pages.examples import sample
from servery.serving.pages.requests import json_bodies, table_files
from servery_worker.calls import Reader
from servery_worker.codecs.bodies import BadBody
from servery_worker.schema import Column, ColumnType, InvalidInput, Param, Signature, Tensor
from servery_worker.wire import Asked, MediaType, Options

SCALARS = [kind for kind in ColumnType if kind not in {ColumnType.ARRAY, ColumnType.OBJECT, ColumnType.MAP}]
TABLES = ("dataframe_split", "dataframe_records")
LISTS = ("instances", "inputs")


def two(kind: ColumnType, *, required: bool = True) -> tuple[Column, ...]:
    return (Column(kind, "first", required), Column(kind, "second"))


NESTED = (
    Column(ColumnType.ARRAY, "tags", detail={"items": {"type": "string"}}),
    Column(
        ColumnType.OBJECT,
        "who",
        detail={
            "properties": {"name": {"type": "string", "required": True}, "age": {"type": "long", "required": False}}
        },
    ),
    Column(ColumnType.MAP, "counts", detail={"values": {"type": "long"}}),
)
MATRIX = Tensor("float64", (-1, 3))
SIGNATURES: dict[str, tuple[Signature, tuple[str, ...]]] = {
    **{f"two named {kind.value}": (Signature(two(kind)), TABLES + LISTS) for kind in SCALARS},
    **{f"one unnamed {kind.value}": (Signature((Column(kind),)), TABLES + LISTS) for kind in SCALARS},
    **{f"optional {kind.value}": (Signature(two(kind, required=False)), TABLES + LISTS) for kind in SCALARS},
    "one named long": (Signature((Column(ColumnType.LONG, "x"),)), TABLES + LISTS),
    "numbered": (Signature(tuple(Column(ColumnType.LONG, cast("str", i)) for i in range(2))), (TABLES[0], *LISTS)),
    "named by years": (Signature((Column(ColumnType.LONG, cast("str", 2024)),)), TABLES[:1]),
    "nested": (Signature(NESTED), (*TABLES, "inputs")),
    "a matrix": (Signature((MATRIX,)), TABLES + LISTS),
    "a list of numbers": (Signature((Tensor("int64", (-1,)),)), TABLES + LISTS),
    "an image": (Signature((Tensor("uint8", (-1, 2, 2)),)), TABLES + LISTS),
    "free inner lengths": (Signature((Tensor("float32", (-1, -1, 2)),)), LISTS),
    "texts": (Signature((Tensor("str", (-1,)),)), TABLES + LISTS),
    "moments": (Signature((Tensor("datetime64[ns]", (-1,)),)), LISTS),
    "two named arrays": (Signature((Tensor("float32", (-1, 2), "a"), Tensor("bool", (-1,), "b"))), TABLES + LISTS),
    "one named array": (Signature((Tensor("float64", (-1, 2), "a"),)), TABLES + LISTS),
    "messages": (Signature((Column(ColumnType.STRING, "prompt"),)), (*TABLES, *LISTS, "llm")),
    "a type hint": (Signature((Column(ColumnType.STRING),), is_from_type_hint=True), ("inputs",)),
}


def taken(signature: Signature, body: Any, media_type: MediaType = MediaType.JSON) -> None:
    """Raises what a worker would refuse the body with."""
    reader = Reader(signature)
    call = reader.read(Asked(media_type, json.dumps(body).encode(), Options.STRICT), batchable=True)
    if call.layout is not None:
        reader.joined([call])


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The body's schema with each of the forms that its field may have."""
    [field] = schema["required"]
    inner = schema["properties"][field]
    if "anyOf" not in inner:
        return [schema]
    return [{**schema, "properties": {**schema["properties"], field: one}} for one in inner["anyOf"]]


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_body_of_each_form_is_taken_as_its_schema_says(name: str) -> None:
    signature, forms = SIGNATURES[name]
    bodies = json_bodies(signature)
    assert tuple(bodies) == forms
    for form, schema in bodies.items():
        for one in [schema] if form == "llm" else alternatives(schema):
            body = sample(one)
            jsonschema.Draft202012Validator(schema).validate(body)
            taken(signature, body)


PRICE = Signature(
    (Column(ColumnType.LONG, "size"), Column(ColumnType.STRING, "city", required=False)),
    params=(Param("rate", ColumnType.DOUBLE, 2.0), Param("tags", ColumnType.STRING, None, (-1,))),
)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"city": "Bern"}]},
        {"dataframe_records": [{"size": "big"}]},
        {"dataframe_records": [{"size": 1 << 70}]},
        {"dataframe_records": [{"size": None}]},
        {"dataframe_records": {"size": [1]}},
        {"dataframe_split": {"columns": ["size", "city"], "data": [[1]]}},
        {"dataframe_split": {"data": [[1, "Bern"]]}},
        {"dataframe_records": [{"size": 1}], "inputs": {"size": [1]}},
        {"inputs": {"size": [1]}, "params": {"rate": "high"}},
        {"inputs": {"size": [1]}, "params": {"tags": "one"}},
        {"inputs": {"size": [1]}, "params": 2},
        {"inputs": 2},
        {},
        [],
    ],
    ids=str,
)
def test_neither_schema_nor_guest_takes_a_body_that_breaks_the_signature(body: Any) -> None:
    assert not any(jsonschema.Draft202012Validator(schema).is_valid(body) for schema in json_bodies(PRICE).values())
    with pytest.raises((BadBody, InvalidInput)):
        taken(PRICE, body)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [{"size": 1}]},
        {"dataframe_records": [{"size": 1, "city": None}]},
        {"dataframe_records": [{"size": 1, "colour": "red"}], "params": {"rate": 1, "unknown": [1]}},
        {"dataframe_split": {"columns": ["size", "city"], "index": [7], "data": [[1, "Bern"]]}},
        {"inputs": {"size": [1, 2], "city": ["Bern", "Basel"]}, "params": {"tags": None}},
        {"instances": [{"size": 1, "city": "Bern"}], "params": {"tags": ["a", None]}},
    ],
    ids=str,
)
def test_both_schema_and_guest_take_a_body_that_fits(body: Any) -> None:
    assert any(jsonschema.Draft202012Validator(schema).is_valid(body) for schema in json_bodies(PRICE).values())
    taken(PRICE, body)


def test_a_param_has_its_type_and_its_default() -> None:
    params = json_bodies(PRICE)["inputs"]["properties"]["params"]["properties"]
    assert params["rate"] == {"type": "number", "format": "double", "default": 2.0}
    assert params["tags"] == {
        "type": ["array", "null"],
        "items": {"type": ["string", "null"]},
        "default": None,
    }


def test_a_model_without_a_signature_may_be_sent_any_form_with_anything() -> None:
    bodies = json_bodies(None)
    assert set(bodies) == {*TABLES, *LISTS, "llm"}
    for form, value in {"inputs": 1, "instances": [[{}]], "dataframe_records": [{"a": 1}]}.items():
        jsonschema.Draft202012Validator(bodies[form]).validate({form: value, "params": {"any": 1}})
    llm = jsonschema.Draft202012Validator(bodies["llm"])
    assert llm.is_valid({"messages": [], "temperature": 1})
    assert not llm.is_valid({"temperature": 1})


@pytest.mark.parametrize(
    ("signature", "typed", "plain"),
    [
        (None, True, True),
        (PRICE, True, True),
        (Signature(NESTED), True, False),
        (SIGNATURES["numbered"][0], True, False),
        (Signature((MATRIX,)), True, True),
        (Signature((Tensor("float32", (-1, -1)),)), False, False),
    ],
    ids=["unknown", "columns", "nested", "numbered", "matrix", "free lengths"],
)
def test_a_file_with_a_table_is_offered_where_one_fits(signature: Signature | None, typed: bool, plain: bool) -> None:
    assert table_files(signature) == (typed, plain)
