"""One request on a connection: its head and body as they come in, and what becomes of it."""

from __future__ import annotations

from servery.serving.arrow_flow import ArrowFlow
from servery.serving.compression import Wanted
from servery.serving.dialects.dialect import Operation
from servery.serving.event_stream import EventStream
from servery.serving.targets import Choice
from servery.workers.request import Request

REQUEST_ID_LENGTH_MAX = 128


class Exchange:
    __slots__ = (
        "arrived",
        "body",
        "body_bytes",
        "choice",
        "events",
        "flow",
        "head",
        "head_bytes",
        "headers",
        "keep_alive",
        "method",
        "operation",
        "path",
        "refusal",
        "request",
        "wanted",
    )

    def __init__(self) -> None:
        self.method = b""
        self.path = b""
        self.head: dict[bytes, bytes] = {}
        self.headers = 0
        self.head_bytes = 0
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.keep_alive = True
        self.refusal: Exception | None = None
        self.operation: Operation | None = None
        self.arrived = 0.0
        self.request: Request | None = None
        self.events: EventStream | None = None
        """The answer, where it comes in pieces; there is no request then."""
        self.flow: ArrowFlow | None = None
        """Body and answer, where both flow; there is no request then."""
        self.choice: Choice | None = None
        self.wanted = Wanted()
        """How the answer is to be coded."""

    @property
    def request_id(self) -> bytes | None:
        return request_id_of(self.head.get(b"x-request-id"))

    @property
    def pieces(self) -> EventStream | ArrowFlow | None:
        """What writes the answer, where it comes in pieces."""
        return self.events or self.flow

    def abandon(self) -> None:
        """The caller has left."""
        if self.pieces is not None:
            self.pieces.leave()
        elif self.request is not None:
            self.request.abandon()


def request_id_of(given: bytes | None) -> bytes | None:
    """The caller's own, where it is printable ASCII and not too long."""
    if given and len(given) <= REQUEST_ID_LENGTH_MAX and given.isascii():
        return given
    return None
