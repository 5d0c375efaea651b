"""The Open Inference Protocol, version 2, over HTTP: ``POST /v2/models/M[/versions/V]/infer``.

Sources: ``inference_rest.md`` of kserve/open-inference-protocol; Triton's ``extension_binary_data.md`` and
``extension_schedule_policy.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import orjson

from servery.errors import InvalidInput, UnsupportedMediaType
from servery.serving.admission import timeout_seconds_of
from servery.serving.answers import refusal_of
from servery.serving.dialects.dialect import Operation, Refusal, Reply
from servery.serving.targets import Choice
from servery.workers.request import Answer
from servery_worker.wire import Asked, MediaType, Options, Outcome

_HEAD_LENGTH = b"inference-header-content-length"
_DIGITS_MAX = 18
_BINARY = b"application/octet-stream"
_TAKEN = frozenset((b"application/json", _BINARY, b"application/x-www-form-urlencoded"))
"""The last is what curl says of a body when it is told nothing; JSON is what comes."""
_TIMEOUT = re.compile(rb'"timeout"\s*:\s*(\d{1,18})(?!\d)')
"""A text that holds this has its quotes escaped, so that only a key of the JSON can be meant."""


class OipDialect:
    """Tensors as JSON or raw data after it, errors as ``{"error": one sentence}``."""

    def ask(self, head: Mapping[bytes, bytes], body: bytes, options: Options) -> Asked:
        length = head.get(_HEAD_LENGTH)
        content_type = head.get(b"content-type")
        if content_type is not None and content_type not in _TAKEN:
            content_type = _checked(content_type)
        if length is None:
            if content_type == _BINARY:
                message = "The header Inference-Header-Content-Length is missing, which says how long the JSON is."
                raise Refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message)
            return Asked(MediaType.OIP, body, options)
        head_bytes = int(length) if length.isdigit() and len(length) <= _DIGITS_MAX else -1
        if not 0 <= head_bytes <= len(body):
            expected = f"a number of bytes from 0 to the body's {len(body)}"
            raise InvalidInput("Inference-Header-Content-Length", expected=expected, got=length.decode("latin-1"))
        if head_bytes == 0:
            options |= Options.RAW_TENSOR
        return Asked(MediaType.OIP, body, options, head_bytes=head_bytes)

    def timeout_seconds(self, head: Mapping[bytes, bytes], asked: Asked, *, default_seconds: float) -> float:
        seconds = timeout_seconds_of(head.get(b"x-request-timeout-ms"), default_seconds=default_seconds)
        text = bytes(asked.body[: asked.head_bytes or None])
        if b'"timeout"' not in text:
            return seconds
        given = (int(microseconds) / 1e6 for microseconds in _TIMEOUT.findall(text))
        return min([seconds, *(wanted for wanted in given if wanted)])

    def reply(self, answer: Answer, operation: Operation, choice: Choice) -> Reply:
        if answer.outcome is not Outcome.OK:
            return self.refusal(*refusal_of(answer.outcome, answer.body))
        name = orjson.dumps(operation.target.endpoint)
        start = b'{"model_name":%b,"model_version":"%d",' % (name, choice.served.pool.spec.version)
        # The worker's JSON begins with the brace that is in ``start`` already.
        body = b"".join((start, memoryview(answer.body)[1:]))
        if not answer.head_bytes:
            return Reply(HTTPStatus.OK, body)
        length = b"Inference-Header-Content-Length: %d\r\n" % (answer.head_bytes + len(start) - 1)
        return Reply(HTTPStatus.OK, body, _BINARY, length)

    def refusal(self, status: int, error_code: str, message: str) -> Reply:  # noqa: ARG002
        return Reply(status, orjson.dumps({"error": message}))


def _checked(content_type: bytes) -> bytes:
    """The media type without its parameters.

    Raises:
        UnsupportedMediaType: it is none of those taken.
    """
    name = content_type.partition(b";")[0].strip().lower()
    if name not in _TAKEN:
        supported = ("application/json", "application/octet-stream")
        raise UnsupportedMediaType(content_type.decode("latin-1"), supported=supported)
    return name
