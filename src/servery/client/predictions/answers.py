"""From an answer's status, headers and body to a Prediction, or to the error that says what the caller can do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from servery.client.predictions.steps import Deadline, Loss, Lost, Reply
from servery.client.predictions.tables import ARROW, decode_table
from servery.client.predictions.tensors import HEAD_LENGTH, decode_arrays
from servery.client.records import Prediction
from servery.errors import (
    AccessDenied,
    AnswerLate,
    ModelFailed,
    NotFound,
    Overloaded,
    RemoteError,
    RequestRefused,
    RequestTooLarge,
    ServeryError,
    Unreachable,
)

_KINDS: Mapping[int | str, type[RemoteError]] = {
    # What X-Servery-Fault says, then statuses.
    "model": ModelFailed,
    "answer": ModelFailed,
    401: AccessDenied,
    403: AccessDenied,
    413: RequestTooLarge,
    **dict.fromkeys((400, 404, 405, 406, 409, 411, 414, 415, 422, 431), RequestRefused),
}


def prediction_of(reply: Reply[bytes], *, latency_ms: float, attempts: int) -> Prediction:
    """Raises RemoteError where the body is not what it says that it is."""
    headers = reply.headers
    return Prediction(
        predictions=_predictions_of(reply),
        model_version=headers.get("x-model-version"),
        request_id=headers.get("x-request-id"),
        latency_ms=latency_ms,
        coerced=tuple(unquote(name) for name in headers.get("x-servery-coerced", "").split(", ") if name),
        attempts=attempts,
    )


def _predictions_of(reply: Reply[bytes]) -> Any:
    """Lists and mappings of JSON; frames and arrays where the answer came as such."""
    content_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    head_length = reply.headers.get(HEAD_LENGTH.lower(), "")
    try:
        if content_type == ARROW:
            return decode_table(reply.body)
        if content_type == "application/octet-stream" and head_length.isdecimal():
            return decode_arrays(reply.body, int(head_length))
        answer = json.loads(reply.body)
    except ValueError as error:
        what = content_type or "of no type"
        raise RemoteError(f"The answer, {what}, cannot be read: {error}.", status=reply.status) from None
    if isinstance(answer, dict) and "outputs" in answer and "model_name" in answer:
        return decode_arrays(reply.body, len(reply.body))
    wrapped = isinstance(answer, dict) and "predictions" in answer
    return answer["predictions"] if wrapped else answer


def refusal_of(
    reply: Reply[bytes], step_url: str, deadline: Deadline, *, name: str, retry_after_seconds: float | None = None
) -> ServeryError:
    """The error that an answer is which does not answer the question. ``name`` is the endpoint's."""
    fields = _fields_of(reply.body)
    told = fields.get("message") or fields.get("detail") or fields.get("error")
    message = str(told or f"{step_url} answered with {reply.status}.")
    code = str(fields.get("error_code") or "") or None
    status = reply.status
    if code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound("Endpoint", name, message=message)
    if status in {429, 503}:
        seconds = None if retry_after_seconds is None else math.ceil(retry_after_seconds)
        return Overloaded(message, status=status, error_code=code, retry_after_seconds=seconds)
    if status == 504:
        return AnswerLate(message, timeout_seconds=deadline.timeout_seconds, status=status, error_code=code)
    kind = _KINDS.get(reply.headers.get("x-servery-fault", status), RemoteError)
    return kind(message, status=status, error_code=code)


def _fields_of(body: bytes) -> Mapping[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def loss_of(lost: Lost, url: str, deadline: Deadline, *, advice: str) -> RemoteError:
    """The error that stands for no answer. ``advice`` ends the sentence where nothing listens."""
    if lost.loss is Loss.UNSENT:
        return Unreachable(f"Nothing answers at {url}; {advice}.")
    if lost.loss is Loss.LATE:
        seconds = deadline.timeout_seconds
        return AnswerLate(f"{url} did not answer within {seconds:g} s.", timeout_seconds=seconds)
    return Unreachable(f"The connection to {url} broke before the answer was whole ({lost.detail}).")
