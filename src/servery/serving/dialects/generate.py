"""The Open Inference Protocol's generate extension: ``/v2/models/M[/versions/V]/generate`` and ``…/generate_stream``.

``{"id"?, "text_input", "parameters"?}`` → ``{"text_output", "model_name", "model_version", "id"?}``, and the same for
each event, whose ``text_output`` is what is new. Statuses of errors are those of the specification
(``generate_rest.yaml``): 422 for a body that is none, 424 where the model fails, 429 where too many ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

import orjson

from servery.serving.admission import timeout_seconds_of
from servery.serving.answers import refusal_of
from servery.serving.dialects.dialect import EVENT_STREAM, Operation, Reply, event_of
from servery.serving.targets import Choice, Target
from servery.workers.request import Answer
from servery_worker.wire import Asked, MediaType, Options, Outcome

_BAD = frozenset({Outcome.BAD_REQUEST, Outcome.INVALID_INPUT})


class GenerateDialect:
    """One of the two paths. ``in_events``: the answer is server-sent events, from a model that has but one, too."""

    ending = b""

    def __init__(self, *, in_events: bool) -> None:
        self._in_events = in_events

    def ask(self, head: Mapping[bytes, bytes], body: bytes, options: Options) -> Asked:  # noqa: ARG002
        return Asked(MediaType.GENERATE, body, options)

    def timeout_seconds(self, head: Mapping[bytes, bytes], asked: Asked, *, default_seconds: float) -> float:  # noqa: ARG002
        return timeout_seconds_of(head.get(b"x-request-timeout-ms"), default_seconds=default_seconds)

    def reply(self, answer: Answer, operation: Operation, choice: Choice) -> Reply:
        if answer.outcome is not Outcome.OK:
            return self.failed(answer.outcome, answer.body)
        if self._in_events:
            return Reply(200, self.event(answer.body, operation, choice), EVENT_STREAM)
        return Reply(200, _named(answer.body, operation, choice))

    def refusal(self, status: int, error_code: str, message: str) -> Reply:  # noqa: ARG002
        return Reply(status, orjson.dumps({"error": message}))

    def wants_events(self, head: Mapping[bytes, bytes], body: bytes) -> bool:  # noqa: ARG002
        return self._in_events

    def event(self, event: bytes, operation: Operation, choice: Choice) -> bytes:
        return event_of(_named(event, operation, choice))

    def failed(self, outcome: Outcome, sentence: bytes) -> Reply:
        status, error_code, message = refusal_of(outcome, sentence)
        if outcome in _BAD:
            status = 422
        elif outcome is Outcome.MODEL_RAISED:
            status = 424
        return self.refusal(status, error_code, message)

    def failure(self, reply: Reply) -> bytes:
        return event_of(reply.body)


def _named(answer: bytes, operation: Operation, choice: Choice) -> bytes:
    """The worker's object, which has ``text_output``, with the model's name and version before it."""
    version = f"{choice.served.pool.spec.version}"
    names = orjson.dumps({"model_name": operation.target.endpoint, "model_version": version})
    return names[:-1] + b"," + answer[1:]


DIALECT = GenerateDialect(in_events=False)
_DIALECTS = {"generate": DIALECT, "generate_stream": GenerateDialect(in_events=True)}
_MODELS = b"/v2/models/"


def operations(name: str, target: Target) -> dict[bytes, Operation]:
    """The paths of an endpoint, and of each version that it serves."""
    root = f"/v2/models/{quote(name)}"
    versions = [(f"{root}/versions/{one.served.pool.spec.version}", one) for one in reversed(target.choices)]
    return {
        f"{path}/{verb}".encode(): Operation(dialect, target, pinned, streaming=dialect)
        for path, pinned in [(root, None), *versions]
        for verb, dialect in _DIALECTS.items()
    }


def is_path(path: bytes) -> bool:
    return path.startswith(_MODELS) and path.endswith((b"/generate", b"/generate_stream"))


def model_of(path: bytes) -> str:
    """The model, and the version if any, that a path names."""
    return unquote(path.removeprefix(_MODELS).rpartition(b"/")[0].decode("latin-1"))[:100]
