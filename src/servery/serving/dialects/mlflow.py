"""MLflow's scoring protocol: ``/invocations``."""

from __future__ import annotations

from collections.abc import Mapping

from servery.serving.admission import media_type_of, nan_options_of, timeout_seconds_of
from servery.serving.answers import error_body, refusal_of
from servery.serving.dialects.dialect import Operation, Reply
from servery.serving.negotiation import CONTENT_TYPES, answer_type_of
from servery.serving.targets import Choice
from servery.workers.request import Answer
from servery_worker.wire import Asked, Options, Outcome


class MlflowDialect:
    """Bodies of any of MLflow's forms, answers with ``predictions`` or as a table, errors with ``error_code`` and
    ``message``."""

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
