"""The errors of an endpoint, as an OpenAPI document tells them. ``answers`` has the codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from servery.serving.answers import OF_CODE

REF = "#/components/{}/{}"
ERROR = {
    "type": "object",
    "description": "One sentence that names what was wrong, and MLflow's error code.",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}
CAUSES: dict[int, str] = {
    400: "The body cannot be understood, or breaks the signature, or the model raised on it; or a header holds what it "
    "may not. `BAD_REQUEST`, `INVALID_PARAMETER_VALUE`",
    404: "There is no such endpoint or path. `RESOURCE_DOES_NOT_EXIST`, `ENDPOINT_NOT_FOUND`",
    405: "Another method is needed. `BAD_REQUEST`",
    406: "`Accept` takes none of the forms that an answer may have, or `Accept-Encoding` no coding. `BAD_REQUEST`",
    408: "The request came in too slowly. `DEADLINE_EXCEEDED`",
    413: "The body is too large. `BAD_REQUEST`",
    415: "The Content-Type or Content-Encoding is not taken. `BAD_REQUEST`",
    429: "As many streams are under way as may be, or the model refused the request. `RESOURCE_EXHAUSTED`, "
    "`REQUEST_LIMIT_EXCEEDED`",
    431: "The head of the request is too large. `BAD_REQUEST`",
    500: "The model's answer has no form in JSON or as a table, or its process ended twice on this request. "
    "`INTERNAL_ERROR`",
    501: "The model's environment has no pyarrow, which Arrow and Parquet need. `NOT_IMPLEMENTED`",
    503: "Too much waits already, or no version works at the moment. `TEMPORARILY_UNAVAILABLE`",
    504: "It was not answered within the caller's deadline. `DEADLINE_EXCEEDED`",
}
"""Why a status comes, with its error codes."""
OF_PAGES = (400, 404, 405, 406, 408, 413, 415, 431)
"""Those that a page may answer with, which asks no worker."""
_HEADERS = {405: ("Allow",), 415: ("Accept-Encoding",), 429: ("Retry-After",), 503: ("Retry-After",)}


def error_responses(schema: str) -> dict[str, Any]:
    """A response for every status, by its number, with the body ``schema``. A model that raises an MlflowException
    chooses one by its code."""
    raised = {status: f"The model refused the request. {_codes(status)}" for status in OF_CODE.values()}
    causes = raised | CAUSES
    return {str(status): _response(status, causes[status], schema) for status in sorted(causes)}


def refs(statuses: Iterable[int | str], *, prefix: str = "") -> dict[str, Any]:
    """A reference to the response of each status."""
    return {str(status): {"$ref": REF.format("responses", f"{prefix}{status}")} for status in statuses}


def _codes(status: int) -> str:
    return ", ".join(f"`{code}`" for code, one in OF_CODE.items() if one == status)


def _response(status: int, cause: str, schema: str) -> dict[str, Any]:
    names = ("X-Request-Id", "X-Model-Version", "X-Servery-Fault", *_HEADERS.get(status, ()))
    return {
        "description": cause,
        "headers": {name: {"$ref": REF.format("headers", name)} for name in names},
        "content": {"application/json": {"schema": {"$ref": REF.format("schemas", schema)}}},
    }
