"""The Open Inference Protocol's paths of an endpoint, as an OpenAPI document tells them.

Source: ``inference_rest.md`` of kserve/open-inference-protocol. Which tensors a model takes is not told here but by
``GET /v2/models/NAME``, as its own clients ask for it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from servery.serving.pages.errors import REF, error_responses, refs
from servery.serving.pages.json_schema import Schema

DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
)
_PARAMETERS: Schema = {"type": "object"}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_TENSOR: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": _SHAPE,
        "datatype": {"type": "string", "enum": list(DATATYPES)},
        "parameters": _PARAMETERS,
        "data": {"type": "array", "description": "Row by row, flat or nested."},
    },
    "required": ["name", "shape", "datatype"],
}
_OUTPUT: Schema = {"type": "object", "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS}}
SCHEMAS: dict[str, Schema] = {
    "InferRequest": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "inputs": {"type": "array", "items": _TENSOR},
            "outputs": {"type": "array", "items": {**_OUTPUT, "required": ["name"]}},
        },
        "required": ["inputs"],
    },
    "InferResponse": {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "outputs": {"type": "array", "items": _TENSOR},
        },
        "required": ["model_name", "outputs"],
    },
    "OipError": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
}
_LENGTH = "Inference-Header-Content-Length"
_RAW = "JSON, and the raw bytes of the tensors after it."


def oip_paths(name: str) -> dict[str, Any]:
    """Inference and metadata of the endpoint ``name``."""
    model = f"/v2/models/{quote(name)}"
    errors = refs(error_responses("OipError"), prefix="oip-")
    return {f"{model}/infer": {"post": _inference(errors)}, model: {"get": _metadata(errors)}}


def _inference(errors: dict[str, Any]) -> dict[str, Any]:
    length = {
        "name": _LENGTH,
        "in": "header",
        "description": "With raw tensors: of how many bytes the JSON before them is.",
        "schema": {"type": "integer", "minimum": 0},
    }
    headers = {name: {"$ref": REF.format("headers", name)} for name in ("X-Request-Id", "X-Model-Version")}
    content = {
        "application/json": {"schema": {"$ref": REF.format("schemas", "InferResponse")}},
        "application/octet-stream": {"schema": {"description": _RAW}},
    }
    bodies = {**content, "application/json": {"schema": {"$ref": REF.format("schemas", "InferRequest")}}}
    return {
        "operationId": "infer",
        "summary": "Predict, by the Open Inference Protocol",
        "parameters": [{"$ref": REF.format("parameters", "X-Request-Timeout-Ms")}, length],
        "requestBody": {"required": True, "content": bodies},
        "responses": {"200": {"description": "The output tensors.", "headers": headers, "content": content}, **errors},
    }


def _metadata(errors: dict[str, Any]) -> dict[str, Any]:
    answer = {
        "description": "The model's tensors.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {"operationId": "modelMetadata", "summary": "The model's tensors", "responses": {"200": answer, **errors}}
