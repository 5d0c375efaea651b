"""A call for predictions from its data to its answer, as steps: it touches no socket and waits for nothing itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from servery.client.predictions.answers import loss_of, prediction_of, refusal_of
from servery.client.predictions.encodings import Encode
from servery.client.predictions.gateways import Gateways, Place
from servery.client.predictions.offers import Offers, Verdict, verdict_of
from servery.client.predictions.retries import RetryBudget, RetryPolicy, ending_of, pause_before_next, retry_after_of
from servery.client.predictions.steps import Deadline, Lost, Outcome, Pause, Reply, Send, Steps, outcome_of
from servery.client.predictions.streaming import StreamReader
from servery.client.records import Prediction
from servery.clock import Clock
from servery.errors import InvalidInput, RemoteError, ServeryError

TIMEOUT_SECONDS_MAX = 86_400.0
"""What ``X-Request-Timeout-Ms`` may say at most."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller wants to know. ``request_id`` names the call in the server's log, whichever attempt is answered."""

    endpoint: str | None
    encode: Encode
    timeout_seconds: float
    request_id: str
    stream_timeout_seconds: float = 0.0
    """For all of a stream; ``timeout_seconds`` is for its beginning."""


class Opened(NamedTuple):
    """A stream that has begun: its body, which is to be closed, and what reads it."""

    body: Any
    reader: StreamReader


class Calls:
    """What all calls of one client share. May be used from several threads."""

    def __init__(self, gateways: Gateways, policy: RetryPolicy, clock: Clock, random: Random) -> None:
        self._gateways = gateways
        self._policy = policy
        self._budget = RetryBudget(policy)
        self._clock = clock
        self._random = random
        self._offers = Offers()

    def predict(self, question: Question) -> Steps[Prediction]:
        """The whole answer.

        Raises:
            InvalidInput: before anything is sent.
            NotFound, RemoteError: one of its subclasses, as ``servery.errors`` has them.
        """
        started = self._clock.monotonic()
        deadline = self._deadline_of("timeout_seconds", question.timeout_seconds)
        reply, attempts = yield from self._answered(question, deadline)
        return prediction_of(reply, latency_ms=(self._clock.monotonic() - started) * 1000, attempts=attempts)

    def open_stream(self, question: Question) -> Steps[Opened]:
        """The answer with its body still open. Raises as :meth:`predict`; once it is open nothing is tried again."""
        whole = self._deadline_of("stream_timeout_seconds", question.stream_timeout_seconds)
        deadline = self._deadline_of("timeout_seconds", question.timeout_seconds)
        reply, _ = yield from self._answered(question, deadline, whole=whole)
        return Opened(reply.body, StreamReader(reply.headers, whole, question.request_id))

    def _answered(
        self, question: Question, deadline: Deadline, *, whole: Deadline | None = None
    ) -> Steps[tuple[Reply[Any], int]]:
        """The good answer, and how many attempts it took. With ``whole`` its body is open, and has until then."""
        self._budget.call_begins()
        attempts = 0
        while True:
            attempts += 1
            place = yield from self._gateways.find(question.endpoint, deadline)
            outcome = yield from self._sent(question, place, deadline, whole)
            if isinstance(outcome, Reply) and outcome.status == 200:
                return outcome, attempts
            if isinstance(outcome, Lost):
                self._gateways.doubt(place)
            retry_after = self._retry_after(outcome)
            pause = self._pause(outcome, attempts, deadline, retry_after)
            if pause is None:
                error = self._error(outcome, place, deadline, retry_after)
                raise _with_facts(error, question.request_id, outcome, attempts)
            yield Pause(pause)

    def _sent(self, question: Question, place: Place, deadline: Deadline, whole: Deadline | None) -> Steps[Outcome]:
        """Send it once; but as JSON too, where the server does not take its encoding or has no answer in it."""
        refused = self._offers.refused(place, self._clock.monotonic())
        while True:
            body = question.encode(refused)
            url = yield from self._gateways.url(place, body.encoding, deadline)
            if url is not None:
                remaining_ms = math.ceil(max(deadline.at - self._clock.monotonic(), 0.001) * 1000)
                own = {"X-Request-Id": question.request_id, "X-Request-Timeout-Ms": str(remaining_ms)}
                step = Send("POST", url, deadline, {**body.headers, **own}, body.content, stream_deadline=whole)
                outcome = yield from outcome_of(step)
                verdict = verdict_of(body.encoding, outcome)
                if verdict is Verdict.TAKEN:
                    if isinstance(outcome, Reply) and outcome.status == 404:
                        self._offers.forget(place)  # There was nothing that could have taken it.
                    return outcome
            if url is None or verdict is Verdict.NEVER_TAKEN:
                self._offers.refuse(place, body.encoding, self._clock.monotonic())
            refused |= {body.encoding}

    def _deadline_of(self, field: str, seconds: float) -> Deadline:
        if not 0 < seconds <= TIMEOUT_SECONDS_MAX:
            expected = f"more than 0 and at most {TIMEOUT_SECONDS_MAX:g} seconds"
            raise InvalidInput(field, expected=expected, got=seconds)
        return Deadline(self._clock.monotonic() + seconds, seconds)

    def _retry_after(self, outcome: Outcome) -> float | None:
        if isinstance(outcome, Lost):
            return None
        return retry_after_of(outcome.headers.get("retry-after"), now_ms=self._clock.now_ms())

    def _pause(
        self, outcome: Outcome, attempts: int, deadline: Deadline, retry_after_seconds: float | None
    ) -> float | None:
        pause = pause_before_next(
            self._policy,
            ending_of(outcome),
            attempts,
            remaining_seconds=deadline.at - self._clock.monotonic(),
            retry_after_seconds=retry_after_seconds,
            luck=self._random.random(),
        )
        return pause if pause is not None and self._budget.take() else None

    def _error(
        self, outcome: Outcome, place: Place, deadline: Deadline, retry_after_seconds: float | None
    ) -> ServeryError:
        if isinstance(outcome, Lost):
            return loss_of(outcome, place.gateway, deadline, advice=self._gateways.advice)
        name = place.endpoint or "the only one"
        return refusal_of(outcome, place.invocations, deadline, name=name, retry_after_seconds=retry_after_seconds)


def _with_facts(error: ServeryError, request_id: str, outcome: Outcome, attempts: int) -> ServeryError:
    if isinstance(error, RemoteError):
        headers = {} if isinstance(outcome, Lost) else outcome.headers
        error.request_id = headers.get("x-request-id", request_id)
        error.model_version = headers.get("x-model-version")
        error.attempts = attempts
    return error
