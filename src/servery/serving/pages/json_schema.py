"""The types of a signature as JSON Schema (draft 2020-12, which OpenAPI 3.1 takes as it is).

A type is not written alike everywhere: bytes are base64 in a table and the text itself in a list, and an answer has
null for every NaN. What a schema describes is what is right to send; the server takes more, as MLflow does ("7" for an
integer), and tells where that lost something.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

from servery_worker.schema import Column, ColumnType, Param, Tensor

Schema = dict[str, Any]


class Place(Enum):
    """Where a value is written."""

    TABLE = "table"
    """A cell of ``dataframe_split`` or ``dataframe_records``."""
    LIST = "list"
    """Anywhere else in a request."""
    ANSWER = "answer"


_SHORT_DTYPES = {
    "b1": "bool",
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "O": "object",
    "U": "str",
    "S": "bytes",
}
_INTEGER = re.compile(r"(u?)int(8|16|32|64)")
_SHORT_INTEGER = re.compile(r"([iu])([1248])")
_FLOAT_FORMATS = {"float32": "float", "float64": "double"}
_TIME = re.compile(r"(datetime|timedelta)64.*")
_MOMENT = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?$"
_DTYPES = {
    ColumnType.BOOLEAN: "bool",
    ColumnType.INTEGER: "int32",
    ColumnType.LONG: "int64",
    ColumnType.FLOAT: "float32",
    ColumnType.DOUBLE: "float64",
    ColumnType.STRING: "str",
    ColumnType.DATETIME: "datetime64[ns]",
}


def cell_schema(column: Column, place: Place) -> Schema:
    """One cell of a column; an optional one may be null."""
    schema = _typed({"type": column.type.value, **(column.detail or {})}, place)
    return schema if column.required else or_null(schema)


def tensor_schema(tensor: Tensor, place: Place) -> Schema:
    """A whole array as nested lists."""
    schema = nested_lists(dtype_schema(tensor.dtype, place), tensor.shape, place)
    return {"description": f"{tensor.dtype}, shape {list(tensor.shape)}", **schema}


def nested_lists(cell: Schema, shape: tuple[int, ...], place: Place) -> Schema:
    """Lists within lists for ``shape``; a length that is free is at least 1 in a request."""
    schema = cell
    for length in reversed(shape):
        lengths = {"minItems": length, "maxItems": length} if length >= 0 else {"minItems": 1}
        schema = {"type": "array", "items": schema, **({} if length < 0 and place is Place.ANSWER else lengths)}
    return schema


def param_schema(param: Param) -> Schema:
    """One of ``params``, with its default; null is taken where it is the default."""
    schema = _typed({"type": param.type.value, **(param.detail or {})}, Place.LIST)
    if param.shape is not None:
        schema = {"type": "array", "items": or_null(schema)}
    return {**(or_null(schema) if param.default is None else schema), "default": param.default}


@lru_cache(256)
def dtype_schema(dtype: str, place: Place) -> Schema:
    """One value of a numpy dtype, by any of the names that a signature may have for it. Not to be changed."""
    name = dtype.lstrip("<>=|")
    name = _SHORT_DTYPES.get(name, name).rstrip("_")
    if short := _SHORT_INTEGER.fullmatch(name):
        name = f"{'u' if short[1] == 'u' else ''}int{8 * int(short[2])}"
    if integer := _INTEGER.fullmatch(name):
        return _integer(name, signed=not integer[1], bits=int(integer[2]))
    if name == "bool":
        return {"type": "boolean"}
    if name.startswith("float"):
        number = {"type": "number", "format": _FLOAT_FORMATS[name]} if name in _FLOAT_FORMATS else {"type": "number"}
        return or_null(number) if place is Place.ANSWER else number
    if time := _TIME.fullmatch(name):
        return _moment(place) if time[1] == "datetime" else {"type": "integer", "format": "int64"}
    return {"type": "string"} if name in {"str", "bytes"} else {}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    if not schema or "null" in schema["type"]:
        return schema
    return {**schema, "type": [schema["type"], "null"]}


def type_name(spec: Column | Tensor | Param) -> str:
    """A type for people: ``array(double)``, ``float64 [-1, 4]``."""
    if isinstance(spec, Tensor):
        return f"{spec.dtype} {list(spec.shape)}"
    name = _named({"type": spec.type.value, **(spec.detail or {})})
    return f"list of {name}" if isinstance(spec, Param) and spec.shape is not None else name


def _named(entry: Mapping[str, Any]) -> str:
    inner = entry.get("items") or entry.get("values")
    if "properties" in entry:
        fields = (f"{name}: {_named(inner)}" for name, inner in entry["properties"].items())
        return f"object({', '.join(fields)})"
    return f"{entry['type']}({_named(inner)})" if inner else str(entry["type"])


def _typed(entry: Mapping[str, Any], place: Place, *, is_inner: bool = False) -> Schema:
    """The schema of a type as a signature writes it: ``{"type": …, "items" | "properties" | "values": …}``."""
    kind = ColumnType(entry["type"])
    if kind is ColumnType.ANY:
        return {}
    if kind is ColumnType.ARRAY:
        return {"type": "array", "items": _typed(entry["items"], place, is_inner=True)}
    if kind is ColumnType.MAP:
        return {"type": "object", "additionalProperties": _typed(entry["values"], place, is_inner=True)}
    if kind is ColumnType.OBJECT:
        return _object(entry["properties"], place)
    if kind is ColumnType.BINARY:
        return _binary(place, is_inner=is_inner)
    return dtype_schema(_DTYPES[kind], place)


def _object(properties: Mapping[str, Any], place: Place) -> Schema:
    required = [name for name, entry in properties.items() if entry.get("required", True)]
    schemas = {name: _typed(entry, place, is_inner=True) for name, entry in properties.items()}
    return {
        "type": "object",
        "properties": {name: one if name in required else or_null(one) for name, one in schemas.items()},
        "required": required,
        "additionalProperties": False,
    }


def _binary(place: Place, *, is_inner: bool) -> Schema:
    if place is Place.ANSWER:
        return {"type": "string", "contentEncoding": "base64"}
    if place is Place.TABLE and not is_inner:
        return {"type": "string", "format": "byte", "contentEncoding": "base64"}
    return {"type": "string", "description": "The bytes as text."}


def _integer(name: str, *, signed: bool, bits: int) -> Schema:
    end = 1 << (bits - 1 if signed else bits)
    return {"type": "integer", "format": name, "minimum": -end if signed else 0, "maximum": end - 1}


def _moment(place: Place) -> Schema:
    """ISO 8601 without an offset, which MLflow's datetime cannot have: no ``date-time`` of RFC 3339."""
    if place is Place.ANSWER:
        return {"type": ["string", "null"], "format": "date-time-local"}
    return {"type": "string", "format": "date-time-local", "pattern": _MOMENT, "examples": ["2024-05-01T12:30:00"]}
