"""From what happened to what HTTP says: the gateway's one table of statuses and MLflow error codes."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import orjson

from servery import errors
from servery_worker.wire import Outcome

NAME_LENGTH_MAX = 100
"""How much of a column's name a header tells: all of a usual one, and twenty of the longest fit."""

OF_OUTCOME: dict[Outcome, tuple[int, str]] = {
    Outcome.OK: (200, ""),
    Outcome.BAD_REQUEST: (400, "BAD_REQUEST"),
    Outcome.INVALID_INPUT: (400, "INVALID_PARAMETER_VALUE"),
    # MLflow's scoring server answers 400 when the model raises, and its clients count on it.
    Outcome.MODEL_RAISED: (400, "BAD_REQUEST"),
    Outcome.UNENCODABLE: (500, "INTERNAL_ERROR"),
    Outcome.UNSUPPORTED: (501, "NOT_IMPLEMENTED"),
}

FAULTS: dict[Outcome, bytes] = {
    Outcome.MODEL_RAISED: b"model",
    Outcome.MODEL_REFUSED: b"model",
    Outcome.UNENCODABLE: b"answer",
}
"""What ``X-Servery-Fault`` says where it is not the caller's: the statuses are MLflow's, which do not tell."""

OF_ERROR: dict[type[errors.ServeryError], tuple[int, str]] = {
    errors.InvalidInput: (400, "INVALID_PARAMETER_VALUE"),
    errors.NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    errors.NotAcceptable: (406, "BAD_REQUEST"),
    errors.BodyTooLarge: (413, "BAD_REQUEST"),
    errors.UnsupportedMediaType: (415, "BAD_REQUEST"),
    errors.QueueFull: (503, "TEMPORARILY_UNAVAILABLE"),
    errors.StreamsFull: (429, "RESOURCE_EXHAUSTED"),
    errors.Unavailable: (503, "TEMPORARILY_UNAVAILABLE"),
    errors.DeadlinePassed: (504, "DEADLINE_EXCEEDED"),
    errors.WorkersLost: (500, "INTERNAL_ERROR"),
}

OF_CODE = {
    "INTERNAL_ERROR": 500,
    "INVALID_STATE": 500,
    "DATA_LOSS": 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "ABORTED": 409,
    "RESOURCE_CONFLICT": 409,
    "ALREADY_EXISTS": 409,
    "NOT_FOUND": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "PERMISSION_DENIED": 403,
    "CUSTOMER_UNAUTHORIZED": 401,
    "UNAUTHENTICATED": 401,
    "BAD_REQUEST": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "INVALID_PARAMETER_VALUE": 400,
}
"""MLflow's error codes (``mlflow/exceptions.py``), for a model that raises one itself; any other one is a 500."""

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus} | {499: b"Client Closed Request"}


def refusal_of(outcome: Outcome, body: bytes) -> tuple[int, str, str]:
    """HTTP status, MLflow error code and sentence of a worker's answer that is not OK."""
    text = body.decode("utf-8", "replace")
    if outcome is Outcome.MODEL_REFUSED:
        error_code, _, sentence = text.partition(": ")
        return OF_CODE.get(error_code, 500), error_code, sentence
    return (*OF_OUTCOME[outcome], text)


def error_body(error_code: str, message: str) -> bytes:
    """MLflow's error body."""
    return orjson.dumps({"error_code": error_code, "message": message})


def coerced_names(names: tuple[str, ...]) -> bytes:
    """The value of ``X-Servery-Coerced``: names cut where they are long, percent-encoded, a comma between them."""
    return ", ".join(quote(name[:NAME_LENGTH_MAX], safe="", errors="replace") for name in names).encode()


def status_of(error: errors.ServeryError) -> tuple[int, str]:
    """HTTP status and MLflow error code of an error; one that is not in the table is a fault of ours."""
    return OF_ERROR.get(type(error), (500, "INTERNAL_ERROR"))
