"""What a model answers, as JSON Schema: from the outputs of its signature, and the answer that was recorded.

Nothing holds a model to its outputs' form: one column may be returned as an array, as a table or as a dict. The
recorded answer shows which it is; where there is none, any of them may come.
"""

from __future__ import annotations

from typing import Any, cast

from servery.serving.pages.json_schema import Place, Schema, cell_schema, or_null, tensor_schema
from servery_worker.schema import Column, Specs, Tensor


def predictions_schema(outputs: Specs | None, recorded: Any) -> Schema:
    """The value of ``predictions``; ``recorded`` is a whole recorded body, or None."""
    if outputs is None:
        return {}
    if isinstance(outputs[0], Tensor):
        forms = _of_tensors(cast("tuple[Tensor, ...]", outputs))
    else:
        forms = _of_columns(cast("tuple[Column, ...]", outputs))
    if isinstance(recorded, dict) and "predictions" in recorded:
        shown = _kind(recorded["predictions"])
        return _any_of([schema for kind, schema in forms if kind == shown])
    return _any_of([schema for _, schema in forms])


def _any_of(schemas: list[Schema]) -> Schema:
    if not schemas:
        return {}  # It is none of what the signature says.
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "records" if value and isinstance(value[0], dict) else "list"
    return "object" if isinstance(value, dict) else "value"


def _of_tensors(tensors: tuple[Tensor, ...]) -> list[tuple[str, Schema]]:
    arrays = [tensor_schema(tensor, Place.ANSWER) for tensor in tensors]
    if tensors[0].name is None:
        return [("list" if tensors[0].shape else "value", arrays[0])]
    named = {str(tensor.name): array for tensor, array in zip(tensors, arrays, strict=True)}
    as_object: Schema = {"type": "object", "properties": named, "required": list(named)}
    return [("object", as_object), *([("list", arrays[0])] if len(tensors) == 1 else [])]


def _of_columns(columns: tuple[Column, ...]) -> list[tuple[str, Schema]]:
    cells = [_answer_cell(column) for column in columns]
    item = cells[0] if len(cells) == 1 else {"type": "array", "prefixItems": cells}
    record: Schema = {"type": "object"}
    one: Schema = {"type": "object"}
    if columns[0].name is not None:
        named = {str(column.name): cell for column, cell in zip(columns, cells, strict=True)}
        required = [str(column.name) for column in columns if column.required]
        record |= {"properties": named, "required": required}
        # One row, or a list for each column.
        either: Schema = {name: _any_of([cell, {"type": "array", "items": cell}]) for name, cell in named.items()}
        one |= {"properties": either, "required": required}
    values: list[tuple[str, Schema]] = [("value", cells[0])] if len(cells) == 1 else []
    return [
        ("records", {"type": "array", "items": record}),
        ("list", {"type": "array", "items": item}),
        ("object", one),
        *values,
    ]


def _answer_cell(column: Column) -> Schema:
    """A cell of an answer: null may stand for any missing value but an integer's or a boolean's."""
    cell = cell_schema(column, Place.ANSWER)
    return or_null(cell) if cell.get("type") == "string" else cell
