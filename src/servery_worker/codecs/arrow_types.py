"""The Arrow types of a signature's columns: what an answer's column is where its cells alone do not tell.

Python's dicts are structs to pyarrow, and a column of nothing but nulls has no type at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servery_worker.schema import NUMPY_NAMES, Column, ColumnType


def spec_of(column: Column) -> Mapping[str, Any]:
    """A column's type as it is written in a signature."""
    return {"type": column.type.value, **(column.detail or {})}


def type_of(spec: Mapping[str, Any]) -> Any:
    """The Arrow type of a signature's type, or None where ``any`` is in it."""
    import numpy as np
    import pyarrow as pa

    kind = ColumnType(spec["type"])
    if kind is ColumnType.ARRAY:
        items = type_of(spec["items"])
        return None if items is None else pa.list_(items)
    if kind is ColumnType.MAP:
        values = type_of(spec["values"])
        return None if values is None else pa.map_(pa.string(), values)
    if kind is ColumnType.OBJECT:
        fields = {name: type_of(inner) for name, inner in spec["properties"].items()}
        return None if None in fields.values() else pa.struct(list(fields.items()))
    if kind is ColumnType.ANY:
        return None
    texts = {ColumnType.STRING: pa.string(), ColumnType.BINARY: pa.binary()}
    return texts.get(kind) or pa.from_numpy_dtype(np.dtype(NUMPY_NAMES[kind]))


def has_map(spec: Mapping[str, Any]) -> bool:
    inner = [spec[name] for name in ("items", "values") if name in spec]
    return spec["type"] == ColumnType.MAP.value or any(map(has_map, [*inner, *spec.get("properties", {}).values()]))


def with_pairs(cell: Any, spec: Mapping[str, Any]) -> Any:
    """A cell whose maps are lists of pairs, as pyarrow takes them."""
    kind = ColumnType(spec["type"])
    if kind is ColumnType.MAP and isinstance(cell, Mapping):
        return [(name, with_pairs(item, spec["values"])) for name, item in cell.items()]
    if kind is ColumnType.OBJECT and isinstance(cell, Mapping):
        return {name: with_pairs(cell.get(name), inner) for name, inner in spec["properties"].items()}
    if kind is ColumnType.ARRAY and cell is not None and hasattr(cell, "__iter__"):
        return [with_pairs(item, spec["items"]) for item in cell]
    return cell
