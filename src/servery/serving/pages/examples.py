"""Requests to begin with: the package's own example, or one that is made from its signature."""

from __future__ import annotations

from typing import Any

from servery.serving.pages.description import Description
from servery.serving.pages.json_schema import Schema

SAMPLE_VALUES_MAX = 2000
"""A request with more values is not made up."""
_SAMPLES: dict[str, Any] = {"integer": 0, "number": 0.5, "boolean": True, "string": "text"}


def request_to_try(main: Description | None) -> Any:
    """A body to begin with: the package's example, or one that is made from the signature."""
    if main is not None and main.request is not None:
        return main.request
    if main is None or main.signature is None:
        return {"inputs": []}
    body = next(iter(main.bodies.values()))
    return sample(body) if _size(body) <= SAMPLE_VALUES_MAX else {}


def first_row(request: Any) -> dict[str, Any]:
    """The first value of each named input in a request, as far as it has such."""
    if not isinstance(request, dict):
        return {}
    split = request.get("dataframe_split")
    if isinstance(split, dict) and split.get("data") and isinstance(split["data"][0], list):
        return dict(zip(map(str, split.get("columns") or ()), split["data"][0], strict=False))
    rows = request.get("dataframe_records") or request.get("instances") or request.get("inputs")
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        return rows[0]
    if isinstance(rows, dict):
        return {name: cells[0] if isinstance(cells, list) and cells else cells for name, cells in rows.items()}
    return {}


def sample(schema: Schema) -> Any:
    """Some value of the kind that the schema describes."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "examples" in schema:
        return schema["examples"][0]
    if "anyOf" in schema and "type" not in schema:
        return sample(schema["anyOf"][0])
    kind = schema.get("type", "string")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "object":
        named = {name: sample(one) for name, one in schema.get("properties", {}).items() if not _is_labels(one)}
        cell = schema.get("additionalProperties") or {}
        return named | {str(place): sample(cell) for place in range(schema.get("minProperties", 0))}
    if kind == "array":
        cells = schema.get("prefixItems")
        return [sample(one) for one in cells] if cells else [sample(schema["items"])] * schema.get("minItems", 1)
    return _SAMPLES[kind]


def _is_labels(schema: Schema) -> bool:
    """A list of anything: the labels of rows or columns, which may be left out."""
    return schema.get("type") == "array" and not {"items", "prefixItems", "const"} & schema.keys()


def _size(schema: Schema) -> int:
    """How many values a sample has."""
    if "items" in schema and "prefixItems" not in schema:
        return int(schema.get("minItems", 1)) * _size(schema["items"])
    inner = [*schema.get("properties", {}).values(), *schema.get("prefixItems", ()), *schema.get("anyOf", ())[:1]]
    return max(1, sum(map(_size, inner)))
