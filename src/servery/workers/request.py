"""One request on its way to a worker and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from servery.errors import ServeryError
from servery_worker.wire import AnswerType, Asked, Outcome, Timings


class Answer(NamedTuple):
    """What a worker said to one request, and where the time went."""

    outcome: Outcome
    body: bytes
    """In the form that was asked for when the outcome is OK, else one sentence."""
    batch_requests: int
    """How many requests the worker answered together."""
    queue_seconds: float
    """From the request's arrival to the batch's send."""
    timings: Timings
    """What the worker spent on the whole batch."""
    coerced: tuple[str, ...] = ()
    """Columns and params of which a value was changed to fit its type."""
    head_bytes: int = 0
    """How many bytes of the body its head has, where raw tensors follow it; else 0."""
    answer_type: int = AnswerType.JSON
    """The form of the body, where MLflow's protocol is spoken."""


class Request:
    """A body to be predicted, until exactly one of ``answer`` and ``refuse`` has been called.

    Made by the protocol adapter, owned by the batcher until it is settled. Not thread-safe: it lives on the
    gateway's event loop.
    """

    __slots__ = (
        "alone",
        "arrived",
        "asked",
        "body_bytes",
        "deadline",
        "lost_workers",
        "number",
        "on_answer",
        "on_refusal",
        "settled",
        "timeout_seconds",
    )

    def __init__(
        self,
        asked: Asked,
        *,
        number: int,
        arrived: float,
        timeout_seconds: float,
        on_answer: Callable[[Request, Answer], None],
        on_refusal: Callable[[Request, ServeryError], None],
    ) -> None:
        self.number = number
        """Unique on its gateway; the worker repeats it with the answer."""
        self.asked = asked
        self.body_bytes = len(asked.body)
        self.arrived = arrived
        self.deadline = arrived + timeout_seconds
        self.timeout_seconds = timeout_seconds
        self.on_answer = on_answer
        self.on_refusal = on_refusal
        self.settled = False
        self.lost_workers = 0
        """How many workers ended while they had it."""
        self.alone = False
        """It may be what ended a worker: it shares its next batch with nobody."""

    def answer(self, answer: Answer) -> None:
        if not self.settled:
            self.settled = True
            self.on_answer(self, answer)

    def refuse(self, error: ServeryError) -> None:
        if not self.settled:
            self.settled = True
            self.on_refusal(self, error)

    def abandon(self) -> None:
        """The caller has left: nobody is told, and a place in a batch is given to another."""
        self.settled = True
