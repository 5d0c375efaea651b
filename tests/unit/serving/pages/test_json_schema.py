"""Each type of a signature as JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest

from servery.serving.pages.json_schema import Place, cell_schema, dtype_schema, tensor_schema, type_name
from servery_worker.schema import Column, ColumnType, Tensor

INT32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
INT64 = {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1}
DOUBLE = {"type": "number", "format": "double"}
PERSON = {
    "name": {"type": "string", "required": True},
    "scores": {"type": "array", "items": {"type": "double"}, "required": False},
}


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [
        (ColumnType.BOOLEAN, None, {"type": "boolean"}),
        (ColumnType.INTEGER, None, INT32),
        (ColumnType.LONG, None, INT64),
        (ColumnType.FLOAT, None, {"type": "number", "format": "float"}),
        (ColumnType.DOUBLE, None, DOUBLE),
        (ColumnType.STRING, None, {"type": "string"}),
        (ColumnType.BINARY, None, {"type": "string", "format": "byte", "contentEncoding": "base64"}),
        (ColumnType.ANY, None, {}),
        (ColumnType.ARRAY, {"items": {"type": "long"}}, {"type": "array", "items": INT64}),
        (
            ColumnType.ARRAY,
            {"items": {"type": "array", "items": {"type": "double"}}},
            {"type": "array", "items": {"type": "array", "items": DOUBLE}},
        ),
        (ColumnType.MAP, {"values": {"type": "double"}}, {"type": "object", "additionalProperties": DOUBLE}),
        (
            ColumnType.OBJECT,
            {"properties": PERSON},
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "scores": {"type": ["array", "null"], "items": DOUBLE}},
                "required": ["name"],
                "additionalProperties": False,
            },
        ),
    ],
    ids=str,
)
def test_a_required_cell_of_a_table(kind: ColumnType, detail: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    assert cell_schema(Column(kind, "x", detail=detail), Place.TABLE) == expected


def test_an_optional_cell_may_be_null() -> None:
    assert cell_schema(Column(ColumnType.LONG, "x", required=False), Place.TABLE) == {
        **INT64,
        "type": ["integer", "null"],
    }


def test_a_moment_is_iso_8601_without_an_offset() -> None:
    schema = cell_schema(Column(ColumnType.DATETIME, "x"), Place.TABLE)
    assert (schema["type"], schema["format"]) == ("string", "date-time-local")


def test_bytes_are_text_in_a_list_and_base64_in_an_answer() -> None:
    column = Column(ColumnType.BINARY, "x")
    assert "contentEncoding" not in cell_schema(column, Place.LIST)
    assert cell_schema(column, Place.ANSWER) == {"type": "string", "contentEncoding": "base64"}


def test_a_number_of_an_answer_may_be_null_which_stands_for_nan() -> None:
    assert cell_schema(Column(ColumnType.DOUBLE), Place.ANSWER)["type"] == ["number", "null"]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", {"type": "number", "format": "float"}),
        ("<f8", DOUBLE),
        ("float16", {"type": "number"}),
        ("uint8", {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}),
        ("|u1", {"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}),
        ("<i4", INT32),
        ("bool_", {"type": "boolean"}),
        ("str", {"type": "string"}),
        ("<U", {"type": "string"}),
        ("object", {}),
        ("complex64", {}),
        ("timedelta64[s]", {"type": "integer", "format": "int64"}),
    ],
)
def test_a_value_of_an_array(dtype: str, expected: dict[str, Any]) -> None:
    assert dtype_schema(dtype, Place.LIST) == expected


def test_an_array_is_lists_within_lists_of_the_lengths_that_are_fixed() -> None:
    assert tensor_schema(Tensor("float64", (-1, 2, 3)), Place.LIST) == {
        "description": "float64, shape [-1, 2, 3]",
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {"type": "array", "minItems": 3, "maxItems": 3, "items": DOUBLE},
        },
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Column(ColumnType.LONG, "x"), "long"),
        (Column(ColumnType.ARRAY, "x", detail={"items": {"type": "double"}}), "array(double)"),
        (Column(ColumnType.OBJECT, "x", detail={"properties": PERSON}), "object(name: string, scores: array(double))"),
        (Tensor("float64", (-1, 4)), "float64 [-1, 4]"),
    ],
    ids=str,
)
def test_a_type_for_people(spec: Column | Tensor, expected: str) -> None:
    assert type_name(spec) == expected
