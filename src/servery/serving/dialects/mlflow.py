"""MLflow's scoring protocol: ``/invocations``.

MLflow's scoring server answers all at once; its agent server answers ``"stream": true`` in pieces
(``mlflow/genai/agent_server/server.py``): an event for each chunk, and an object with ``error`` for a failure.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson

from servery.serving.admission import media_type_of, nan_options_of, timeout_seconds_of
from servery.serving.answers import error_body, refusal_of
from servery.serving.dialects.dialect import EVENT_STREAM, JSON, Operation, Reply, event_of
from servery.serving.negotiation import CONTENT_TYPES, answer_type_of
from servery.serving.targets import Choice
from servery.workers.request import Answer
from servery_worker.wire import Asked, Options, Outcome


class _Wish(msgspec.Struct):
    stream: object = None


class MlflowDialect:
    """Bodies of any of MLflow's forms, answers with ``predictions`` or as a table, errors with ``error_code`` and
    ``message``."""

    ending = b""

    def ask(self, head: Mapping[bytes, bytes], body: bytes, options: Options) -> Asked:
        nan = head.get(b"x-servery-nan")
        if nan is not None:
            options |= nan_options_of(nan)
        return Asked(media_type_of(head.get(b"content-type")), body, options, answer_type_of(head.get(b"accept")))

    def timeout_seconds(self, head: Mapping[bytes, bytes], asked: Asked, *, default_seconds: float) -> float:  # noqa: ARG002
        return timeout_seconds_of(head.get(b"x-request-timeout-ms"), default_seconds=default_seconds)

    def reply(self, answer: Answer, operation: Operation, choice: Choice) -> Reply:  # noqa: ARG002
        if answer.outcome is Outcome.OK:
            return Reply(200, answer.body, CONTENT_TYPES[answer.answer_type])
        return self.refusal(*refusal_of(answer.outcome, answer.body))

    def refusal(self, status: int, error_code: str, message: str) -> Reply:
        return Reply(status, error_body(error_code, message))

    def wants_events(self, head: Mapping[bytes, bytes], body: bytes) -> bool:
        accepted = head.get(b"accept", b"")
        if EVENT_STREAM in accepted and JSON not in accepted:
            return True
        if b'"stream"' not in body:
            return False
        try:
            return msgspec.json.decode(body, type=_Wish).stream is True
        except msgspec.DecodeError:
            return False  # What is wrong with it is told as to any other request.

    def event(self, event: bytes, operation: Operation, choice: Choice) -> bytes:  # noqa: ARG002
        return event_of(event)

    def failed(self, outcome: Outcome, sentence: bytes) -> Reply:
        return self.refusal(*refusal_of(outcome, sentence))

    def failure(self, reply: Reply) -> bytes:
        error: dict[str, str] = orjson.loads(reply.body)
        return event_of(orjson.dumps({"error": error["message"], "error_code": error["error_code"]}))
