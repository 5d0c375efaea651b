"""The JSON bodies that fit a signature, as JSON Schema: one for each of MLflow's input forms.

A form that no input of the model has, such as a table for an array of three free dimensions, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple, cast

from servery.serving.pages.json_schema import (
    Place,
    Schema,
    cell_schema,
    dtype_schema,
    nested_lists,
    param_schema,
    tensor_schema,
)
from servery_worker.schema import Column, ColumnType, Signature, Specs, Tensor

LLM_KEYS = ("messages", "prompt", "input")
"""A body with one of these is itself the input, and its answer is not wrapped in ``predictions``."""
_ONE_ROW = (ColumnType.ARRAY, ColumnType.OBJECT)
"""An object with a column of such a type is one row, and not an object of columns."""
_LOST_IN_ROWS = (ColumnType.INTEGER, ColumnType.FLOAT)
"""A list of objects under ``inputs`` widens these before they are checked, and so they are refused."""

_UNKNOWN: dict[str, Schema] = {
    "dataframe_split": {
        "type": "object",
        "properties": {"columns": {"type": "array"}, "index": {"type": "array"}, "data": {"type": "array"}},
        "required": ["data"],
        "additionalProperties": False,
    },
    "dataframe_records": {"type": "array", "items": {"type": "object"}},
    "instances": {"type": "array"},
    "inputs": {},
}


class Row(NamedTuple):
    """A row of the tables that fit a signature. ``names`` is None where the columns go by their places; they are not
    always text."""

    names: list[Any] | None
    cells: list[Schema]
    required: list[str]


def json_bodies(signature: Signature | None) -> dict[str, Schema]:
    """Each JSON body that fits, by the name of its form."""
    known = signature or Signature()
    params = _params(known) if signature else {"type": "object"}
    bodies = {form: _body(form, schema, params) for form, schema in _forms(known).items()}
    llm = None if known.is_from_type_hint else _llm(known)
    return {**bodies, "llm": llm} if llm else bodies


def table_files(signature: Signature | None) -> tuple[bool, bool]:
    """Whether a table in a file can be the input: one of typed columns, such as Parquet; CSV, which has plain cells."""
    specs = signature.inputs if signature else None
    if specs is None:
        return True, True
    if any(isinstance(spec, Tensor) for spec in specs):
        row = row_of(specs)
        return row is not None, row is not None and not any(cell.get("type") == "array" for cell in row.cells)
    columns = cast("tuple[Column, ...]", specs)
    return True, _are_text(columns) and all(column.detail is None for column in columns)


def row_of(specs: Specs) -> Row | None:
    """A row of the table forms; None where no table becomes such an input."""
    if isinstance(specs[0], Tensor):
        return _tensor_row(cast("tuple[Tensor, ...]", specs))
    columns = cast("tuple[Column, ...]", specs)
    cells = [cell_schema(column, Place.TABLE) for column in columns]
    if _go_by_place(columns):
        return Row(None, cells, [])
    return Row([column.name for column in columns], cells, _names([column for column in columns if column.required]))


def _go_by_place(columns: Sequence[Column]) -> bool:
    """Whether they have no names, or the numbers that a table without names is given."""
    names: list[Any] = [column.name for column in columns]
    return names[0] is None or names == list(range(len(names)))


def _are_text(columns: Sequence[Column]) -> bool:
    """No key of a JSON object is a number, as the names of columns may be."""
    return all(isinstance(column.name, str | None) for column in columns)


def _tensor_row(tensors: tuple[Tensor, ...]) -> Row | None:
    if any(tensor.shape[:1] != (-1,) or -1 in tensor.shape[1:] or "time" in tensor.dtype for tensor in tensors):
        return None
    first = tensors[0]
    if first.name is None and len(first.shape) == 2 and first.shape[1] > 1:
        return Row(None, [dtype_schema(first.dtype, Place.TABLE)] * first.shape[1], [])
    cells = [_row_of_array(tensor) for tensor in tensors]
    return Row(None, cells, []) if first.name is None else Row(_names(tensors), cells, _names(tensors))


def _row_of_array(tensor: Tensor) -> Schema:
    """One row of an array in one cell: a value, or a flat list."""
    cell = dtype_schema(tensor.dtype, Place.TABLE)
    is_flat = tensor.shape in ((-1,), (-1, 1))
    return cell if is_flat else nested_lists(cell, (prod(tensor.shape[1:]),), Place.TABLE)


def _names(specs: Sequence[Column | Tensor]) -> list[str]:
    return [str(spec.name) for spec in specs]


def _body(form: str, schema: Schema, params: Schema | None) -> Schema:
    properties = {form: schema, **({"params": params} if params else {})}
    return {
        "title": form,
        "type": "object",
        "properties": properties,
        "required": [form],
        "additionalProperties": False,
    }


def _params(signature: Signature) -> Schema | None:
    if not signature.params:
        return None
    return {"type": "object", "properties": {param.name: param_schema(param) for param in signature.params}}


def _forms(signature: Signature) -> dict[str, Schema]:
    specs = signature.inputs
    if specs is None:
        return {"inputs": {}} if signature.is_from_type_hint else _UNKNOWN
    if signature.is_from_type_hint:
        return {"inputs": _listed(cast("tuple[Column, ...]", specs))}
    row = row_of(specs)
    tables = {"dataframe_split": _split(row), "dataframe_records": _records(row)} if row else {}
    if isinstance(specs[0], Tensor):
        return {**tables, **_of_tensors(cast("tuple[Tensor, ...]", specs))}
    columns = cast("tuple[Column, ...]", specs)
    if not _are_text(columns):
        tables.pop("dataframe_records")
    if _go_by_place(columns):
        return {**tables, **_of_unnamed(columns)}
    return {**tables, **(_of_named(columns) if _are_text(columns) else {})}


def _split(row: Row) -> Schema:
    rows = {"type": "array", "minItems": 1, "items": _exactly(row.cells)}
    labels: Schema = {"type": "array", "minItems": len(row.cells), "maxItems": len(row.cells)}
    if row.names is not None:
        labels = {
            "type": "array",
            "description": "The columns, here in the signature's order. Any other order is taken too.",
            "const": row.names,
        }
    index = {"type": "array", "description": "A label for each row; it may be left out."}
    return {
        "type": "object",
        "properties": {"columns": labels, "index": index, "data": rows},
        "required": ["data"] if row.names is None else ["columns", "data"],
        "additionalProperties": False,
    }


def _records(row: Row) -> Schema:
    if row.names is None:
        count = len(row.cells)
        record: Schema = {"type": "object", "minProperties": count, "maxProperties": count}
        record |= {"additionalProperties": row.cells[0]} if row.cells == [row.cells[0]] * count else {}
    else:
        record = _object(row.names, row.cells, row.required)
    return {"type": "array", "minItems": 1, "items": record}


def _object(names: list[str], cells: list[Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": dict(zip(names, cells, strict=True)), "required": required}


def _exactly(cells: list[Schema]) -> Schema:
    """A row as a list."""
    lengths = {"minItems": len(cells), "maxItems": len(cells)}
    if cells == [cells[0]] * len(cells):
        return {"type": "array", "items": cells[0], **lengths}
    return {"type": "array", "prefixItems": cells, "items": False, **lengths}


def _listed(columns: tuple[Column, ...]) -> Schema:
    """Rows in a list: of values for one column without a name, of objects or lists else."""
    cells = [cell_schema(column, Place.LIST) for column in columns]
    if not _go_by_place(columns):
        required = _names([column for column in columns if column.required])
        item = _object(_names(columns), cells, required)
    else:
        item = cells[0] if len(cells) == 1 else _exactly(cells)
    return {"type": "array", "minItems": 1, "items": item}


def _of_unnamed(columns: tuple[Column, ...]) -> dict[str, Schema]:
    rows = _listed(columns)
    one = [cell_schema(columns[0], Place.LIST)] if len(columns) == 1 else []
    return {"instances": rows, "inputs": {"anyOf": [rows, *one]} if one else rows}


def _of_named(columns: tuple[Column, ...]) -> dict[str, Schema]:
    rows, names = _listed(columns), _names(columns)
    required = _names([column for column in columns if column.required])
    cells = [cell_schema(column, Place.LIST) for column in columns]
    kinds = {column.type for column in columns}
    if not kinds.isdisjoint(_ONE_ROW):
        one = {**_object(names, cells, required), "description": "One row."}
        return {"inputs": {"anyOf": [one, rows]}}
    lists: list[Schema] = [{"type": "array", "minItems": 1, "items": cell} for cell in cells]
    table = {**_object(names, lists, required), "description": "A list for each column, all of one length."}
    values = [{"type": "array", "minItems": 1, "items": cells[0]}] if len(columns) == 1 else []
    inputs = [table, *values, *([rows] if kinds.isdisjoint(_LOST_IN_ROWS) else [])]
    return {"instances": {"anyOf": [rows, table]}, "inputs": {"anyOf": inputs}}


def _of_tensors(tensors: tuple[Tensor, ...]) -> dict[str, Schema]:
    arrays = [tensor_schema(tensor, Place.LIST) for tensor in tensors]
    if tensors[0].name is None:
        return {"instances": arrays[0], "inputs": arrays[0]}
    names = _names(tensors)
    columns = _object(names, arrays, names)
    inputs = [columns, *(arrays if len(tensors) == 1 else [])]
    rows = [nested_lists(dtype_schema(one.dtype, Place.LIST), one.shape[1:], Place.LIST) for one in tensors]
    instances = {"type": "array", "minItems": 1, "items": _object(names, rows, names)}
    return {"instances": {"anyOf": [instances, columns]}, "inputs": {"anyOf": inputs}}


def _llm(signature: Signature) -> Schema | None:
    """The body that is itself the input; None where the model's signature has none of its keys."""
    properties: dict[str, Schema] = {key: {} for key in LLM_KEYS}
    required: list[str] = []
    if signature.inputs is not None:
        columns = [spec for spec in signature.inputs if isinstance(spec, Column)]
        properties = {str(one.name): cell_schema(one, Place.LIST) for one in columns}
        required = _names([column for column in columns if column.required])
    keys = [key for key in LLM_KEYS if key in properties]
    if not keys:
        return None
    properties |= {param.name: param_schema(param) for param in signature.params or ()}
    body: Schema = {"title": "llm", "type": "object", "properties": properties, "required": required}
    return body if set(keys) & set(required) else {**body, "anyOf": [{"required": [key]} for key in keys]}
