"""A dialect: how one protocol of callers is spoken over HTTP, from a head and a body to what is asked of a worker, and
from a worker's answer, or a refusal, to what the caller reads.

One file a dialect; ``site`` finds by the path which one is spoken.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol

from servery.serving.targets import Choice, Target
from servery.workers.request import Answer
from servery_worker.wire import Asked, Options, Outcome

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream"


class Reply(NamedTuple):
    """What a caller is answered. ``headers`` are whole lines."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: bytes = b""


class Refusal(Exception):
    """An answer that the head, or the protocol alone, decided. ``error_code`` is MLflow's."""

    def __init__(self, status: HTTPStatus, error_code: str, message: str, *, headers: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.headers = headers


class Dialect(Protocol):
    """Port. A dialect keeps nothing: one object speaks for every connection. No method may wait, and none but ``ask``
    and ``timeout_seconds`` may raise."""

    def ask(self, head: Mapping[bytes, bytes], body: bytes, options: Options) -> Asked:
        """What a request asks of its worker. ``head`` has the headers that are kept (``http.WANTED``), by their
        names in lower case; ``options`` are those of the endpoint.

        Raises:
            ServeryError, Refusal: what the head says cannot be done.
        """

    def timeout_seconds(self, head: Mapping[bytes, bytes], asked: Asked, *, default_seconds: float) -> float:
        """How long the caller will wait, in whatever way the protocol lets it say so.

        Raises:
            InvalidInput: it says it wrongly.
        """

    def reply(self, answer: Answer, operation: Operation, choice: Choice) -> Reply:
        """The answer of a worker, good or bad, of the version ``choice``."""

    def refusal(self, status: int, error_code: str, message: str) -> Reply:
        """An error, of MLflow's code ``error_code``, in the protocol's own form."""


class Streaming(Protocol):
    """Port: how a dialect speaks server-sent events, where the model answers in pieces. As a dialect, it keeps nothing,
    waits for nothing and raises nothing.
    """

    ending: bytes
    """What follows the last event, if anything does."""

    def wants_events(self, head: Mapping[bytes, bytes], body: bytes) -> bool:
        """Whether the caller asks for its answer in pieces."""

    def event(self, event: bytes, operation: Operation, choice: Choice) -> bytes:
        """The whole text of an event, its blank line included."""

    def failed(self, outcome: Outcome, sentence: bytes) -> Reply:
        """The answer for a model that fails before its first event."""

    def failure(self, reply: Reply) -> bytes:
        """The text of the event that tells a failure after the first one, from what would have been the answer."""


class Operation(NamedTuple):
    """What a path asks for: the prediction of an endpoint, in a dialect."""

    dialect: Dialect
    target: Target
    pinned: Choice | None = None
    """The version that the path names; None where the endpoint's traffic config decides."""
    streaming: Streaming | None = None
    """How the dialect speaks of answers in pieces; None where it does not."""


def event_of(data: bytes) -> bytes:
    """One server-sent event. ``data`` is JSON, which has no line breaks."""
    return b"data: %b\n\n" % data


def method_not_allowed(method: bytes, allowed: bytes) -> Refusal:
    message = f"The method {method.decode('latin-1')} is not allowed here; use {allowed.decode()}."
    return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "BAD_REQUEST", message, headers=b"Allow: %b\r\n" % allowed)
