"""The OpenAPI 3.1 document of an endpoint: a pure function of what is known of it.

Requests are described by the version with the most traffic: a request should fit whichever version it goes to, and most
go there. Answers are described by every version. A version without a signature takes anything, and is said to.
"""

from __future__ import annotations

from typing import Any

from servery.serving.admission import SUPPORTED, TIMEOUT_MS_MAX
from servery.serving.negotiation import CONTENT_TYPES
from servery.serving.pages.description import UNKNOWN
from servery.serving.pages.endpoint import Endpoint
from servery.serving.pages.errors import ERROR, OF_PAGES, REF, error_responses, refs
from servery.serving.pages.json_schema import Schema
from servery.serving.pages.oip_paths import SCHEMAS as OIP_SCHEMAS
from servery.serving.pages.oip_paths import oip_paths
from servery.serving.pages.requests import table_files

_JSON = "application/json"
_UNWRAPPED = "The answer itself, to a body with `messages`, `prompt` or `input`."
_STREAM: Schema = {"type": "boolean", "default": False, "description": "Answer in pieces, as server-sent events."}
_PARAMETERS: dict[str, Any] = {
    "X-Request-Timeout-Ms": {
        "description": "How long the caller will wait, in milliseconds.",
        "schema": {"type": "integer", "minimum": 1, "maximum": TIMEOUT_MS_MAX},
    },
    "X-Request-Id": {
        "description": "The caller's own id, up to 128 printable ASCII characters; it comes back with the answer.",
        "schema": {"type": "string"},
    },
    "X-Servery-Nan": {
        "description": "Write NaN and the infinities bare, as MLflow does, which is not JSON. Else they are null.",
        "schema": {"enum": ["bare"]},
    },
}
_HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "The caller's id, or one that the gateway made.",
        "required": True,
        "schema": {"type": "string"},
    },
    "X-Model-Version": {"description": "The version that the request went to.", "schema": {"type": "string"}},
    "Server-Timing": {
        "description": "Milliseconds in the queue and at work, and how many requests were predicted together.",
        "schema": {"type": "string"},
    },
    "X-Servery-Coerced": {
        "description": "Columns and params of which a value was changed to fit its type, percent-encoded.",
        "schema": {"type": "string"},
    },
    "X-Servery-Fault": {
        "description": "With an error that is not the caller's: the model raised, or its answer has no such form.",
        "schema": {"enum": ["model", "answer"]},
    },
    "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer"}},
    "Allow": {"description": "The methods that the path takes.", "schema": {"type": "string"}},
    "Accept-Encoding": {"description": "The encodings that are taken.", "schema": {"type": "string"}},
}


def document(endpoint: Endpoint) -> dict[str, Any]:
    """The document, of plain values."""
    oip_errors = {f"oip-{status}": one for status, one in error_responses("OipError").items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": endpoint.name, "version": endpoint.versions[0].label, "description": about(endpoint)},
        "servers": [{"url": "/"}],
        "paths": {**_paths(endpoint), **oip_paths(endpoint.name)},
        "components": {
            "schemas": {**_requests(endpoint), **_answers(endpoint), **OIP_SCHEMAS, "Error": ERROR},
            "parameters": {name: {"name": name, "in": "header", **one} for name, one in _PARAMETERS.items()},
            "headers": _HEADERS,
            "responses": {**error_responses("Error"), **oip_errors},
        },
    }


def _paths(endpoint: Endpoint) -> dict[str, Any]:
    paths: dict[str, Any] = {endpoint.invocations: {"post": _invocation("invokeEndpoint", endpoint)}}
    pages = [endpoint.page]
    if endpoint.is_sole:
        paths = {"/invocations": {"post": _invocation("invoke", endpoint)}, **paths}
        pages = ["/", *pages]
    for page in pages:
        paths[page] = {"get": _page("What the endpoint takes and gives, and which versions serve it.", "text/html")}
        paths[f"{page.rstrip('/')}/openapi.json"] = {"get": _page("This document.")}
    return paths


def about(endpoint: Endpoint) -> str:
    """What a reader should know besides, in sentences."""
    versions = ", ".join(f"{one.label} ({one.percent} %)" for one in endpoint.versions)
    said = [f"Served by {versions}."]
    said += [f"{one.label} is {one.state}{f': {one.stage}' if one.stage else ''}." for one in endpoint.unready]
    if endpoint.differs:
        said.append(
            f"The versions take or give different things; what {endpoint.versions[0].label} takes is described."
        )
    if endpoint.main is None:
        said.append("What it takes is not known yet: its package is not on this machine.")
    elif endpoint.main.signature is None:
        said.append("The model has no signature: it takes what its own code takes.")
    if endpoint.is_strict:
        said.append("A value that does not fit its type without loss is refused.")
    return " ".join([*said, *(endpoint.main.notes if endpoint.main else ())])


def _requests(endpoint: Endpoint) -> dict[str, Schema]:
    bodies = (endpoint.main or UNKNOWN).bodies
    forms = [{"$ref": REF.format("schemas", f"Request-{form}")} for form in bodies]
    extra = {"stream": _STREAM} if endpoint.streams else {}
    schemas = {
        f"Request-{form}": {**schema, "properties": {**schema["properties"], **extra}}
        for form, schema in bodies.items()
    }
    return {"Request": {"anyOf": forms}, **schemas}


def _answers(endpoint: Endpoint) -> dict[str, Schema]:
    known = [version.description or UNKNOWN for version in endpoint.versions]
    found: list[Schema] = []
    for one in known:
        found += [one.predictions] if one.predictions not in found else []
    predictions = found[0] if len(found) == 1 else {"anyOf": found}
    wrapped = {"type": "object", "properties": {"predictions": predictions}, "required": ["predictions"]}
    if all("llm" not in one.bodies for one in known):
        return {"Answer": wrapped}
    return {"Answer": {"anyOf": [wrapped, {"description": _UNWRAPPED}]}}


def _invocation(operation_id: str, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "operationId": operation_id,
        "summary": "Predict",
        "parameters": [{"$ref": REF.format("parameters", name)} for name in _PARAMETERS],
        "requestBody": {"required": True, "content": _bodies(endpoint)},
        "responses": {"200": _answer(endpoint), **refs(error_responses("Error"))},
    }


def _bodies(endpoint: Endpoint) -> dict[str, Any]:
    """Every media type that the gateway takes and the model can do with."""
    main = endpoint.main
    example = {} if main is None or main.request is None else {"example": main.request}
    content: dict[str, Any] = {_JSON: {"schema": {"$ref": REF.format("schemas", "Request")}, **example}}
    typed, plain = table_files(main.signature if main else None)
    for name in SUPPORTED:
        if name == "text/csv" and plain:
            content[name] = {"schema": {"type": "string", "description": "A table with a header row, UTF-8."}}
        elif name not in {_JSON, "text/csv"} and typed:
            content[name] = {}
    return content


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    recorded = [version.description.answer for version in endpoint.versions if version.description]
    example = {} if not recorded or recorded[0] is None else {"example": recorded[0]}
    names = ("X-Request-Id", "X-Model-Version", "Server-Timing", "X-Servery-Coerced")
    content: dict[str, Any] = {name.decode(): {} for name in CONTENT_TYPES}
    content[_JSON] = {"schema": {"$ref": REF.format("schemas", "Answer")}, **example}
    if endpoint.streams:
        content["text/event-stream"] = {
            "schema": {"type": "string", "description": "An event for each chunk, as JSON."}
        }
    return {
        "description": "The predictions, in the form that `Accept` prefers.",
        "headers": {name: {"$ref": REF.format("headers", name)} for name in names},
        "content": content,
    }


def _page(what: str, *other_types: str) -> dict[str, Any]:
    schemas = {_JSON: {"schema": {"type": "object"}}, **{name: {"schema": {"type": "string"}} for name in other_types}}
    headers = {"X-Request-Id": {"$ref": REF.format("headers", "X-Request-Id")}}
    return {
        "summary": what,
        "responses": {"200": {"description": what, "headers": headers, "content": schemas}, **refs(OF_PAGES)},
    }
