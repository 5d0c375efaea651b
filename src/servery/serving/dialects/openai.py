"""OpenAI's API, as its own client speaks it: ``/v1/chat/completions``, ``completions``, ``embeddings`` and ``models``.

``model`` in the body names the endpoint, so the gateway reads that much of it; the worker makes of the rest what its
model takes. Answers in pieces end with ``data: [DONE]``. A model that has no pieces answers in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
import orjson

from servery.errors import NotFound
from servery.serving.admission import media_type_of, timeout_seconds_of
from servery.serving.answers import refusal_of
from servery.serving.dialects.dialect import EVENT_STREAM, Operation, Refusal, Reply, event_of, method_not_allowed
from servery.serving.targets import Choice, Target
from servery.workers.request import Answer
from servery_worker.wire import Asked, MediaType, Options, Outcome

PREFIX = b"/v1/"
_MODELS = b"/v1/models"
_KINDS = {
    b"/v1/chat/completions": MediaType.CHAT,
    b"/v1/completions": MediaType.COMPLETIONS,
    b"/v1/embeddings": MediaType.EMBEDDINGS,
}
_DONE = b"data: [DONE]\n\n"


class _Wish(msgspec.Struct):
    """What the gateway reads of a body."""

    model: str
    stream: bool | None = None


class OpenaiDialect:
    """One kind of body, asked for in pieces (``streams``) or not."""

    ending = _DONE

    def __init__(self, kind: MediaType, *, streams: bool) -> None:
        self._kind = kind
        self._streams = streams

    def ask(self, head: Mapping[bytes, bytes], body: bytes, options: Options) -> Asked:
        media_type_of(head.get(b"content-type", b"application/json"))
        return Asked(self._kind, body, options | (Options.IN_PIECES if self._streams else 0))

    def timeout_seconds(self, head: Mapping[bytes, bytes], asked: Asked, *, default_seconds: float) -> float:  # noqa: ARG002
        return timeout_seconds_of(head.get(b"x-request-timeout-ms"), default_seconds=default_seconds)

    def reply(self, answer: Answer, operation: Operation, choice: Choice) -> Reply:  # noqa: ARG002
        if answer.outcome is not Outcome.OK:
            return self.failed(answer.outcome, answer.body)
        if self._streams:
            return Reply(200, event_of(answer.body) + _DONE, EVENT_STREAM)
        return Reply(200, answer.body)

    def refusal(self, status: int, error_code: str, message: str) -> Reply:
        kind, code = "invalid_request_error" if status < 500 else "server_error", None
        if error_code == "RESOURCE_DOES_NOT_EXIST":
            code = "model_not_found"
        elif status == 429:
            kind, code = "rate_limit_error", "rate_limit_exceeded"
        elif status in (503, 504):
            code = error_code.lower()
        error = {"message": message, "type": kind, "param": None, "code": code}
        return Reply(status, orjson.dumps({"error": error}))

    def wants_events(self, head: Mapping[bytes, bytes], body: bytes) -> bool:  # noqa: ARG002
        return self._streams

    def event(self, event: bytes, operation: Operation, choice: Choice) -> bytes:  # noqa: ARG002
        return event_of(event)

    def failed(self, outcome: Outcome, sentence: bytes) -> Reply:
        status, error_code, message = refusal_of(outcome, sentence)
        # A model that raises is nothing that the caller can mend, as MLflow's 400 would tell it.
        return self.refusal(500 if outcome is Outcome.MODEL_RAISED else status, error_code, message)

    def failure(self, reply: Reply) -> bytes:
        return event_of(reply.body)


_DIALECTS = {
    (kind, streams): OpenaiDialect(kind, streams=streams) for kind in _KINDS.values() for streams in (False, True)
}
DIALECT = _DIALECTS[MediaType.CHAT, False]
"""In which a path is refused, whatever it is."""


def operation_of(path: bytes, method: bytes, body: Sequence[bytes], targets: Mapping[str, Target]) -> Operation | None:
    """What a body asks for; None where the path takes none.

    Raises:
        Refusal: it is no JSON object with the name of a model, or asked by another method.
        NotFound: there is no endpoint of that name.
    """
    kind = _KINDS.get(path)
    if kind is None:
        return None
    if method != b"POST":
        raise method_not_allowed(method, b"POST")
    if not body:
        raise Refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "The body is empty; it is expected to be a JSON object.")
    try:
        wish = msgspec.json.decode(b"".join(body), type=_Wish)
    except msgspec.DecodeError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", f"The body cannot be read: {error}.") from None
    target = targets.get(wish.model)
    if target is None:
        raise _no_model(wish.model)
    dialect = _DIALECTS[kind, bool(wish.stream) and kind is not MediaType.EMBEDDINGS]
    return Operation(dialect, target, streaming=dialect)


def page(method: bytes, path: bytes, targets: Mapping[str, Target]) -> Reply | None:
    """The endpoints as models, or one of them; None where the path is another.

    Raises:
        Refusal: it is asked by another method.
        NotFound: there is no endpoint of that name.
    """
    if path != _MODELS and not path.startswith(_MODELS + b"/"):
        return None
    if method not in {b"GET", b"HEAD"}:
        raise method_not_allowed(method, b"GET, HEAD")
    if path == _MODELS:
        return Reply(200, orjson.dumps({"object": "list", "data": [_model(name) for name in targets]}))
    name = path.removeprefix(_MODELS + b"/").decode("latin-1")
    if name not in targets:
        raise _no_model(name)
    return Reply(200, orjson.dumps(_model(name)))


def _model(name: str) -> dict[str, object]:
    # When an endpoint was made is not known to its gateway.
    return {"id": name, "object": "model", "created": 0, "owned_by": "servery"}


def _no_model(name: str) -> NotFound:
    return NotFound("Model", name[:100], message=f"The model '{name[:100]}' does not exist.")
