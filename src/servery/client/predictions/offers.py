"""Which encodings a server takes: what it has refused is remembered for a while, endpoint by endpoint."""

from __future__ import annotations

from enum import Enum, auto

from servery.client.predictions.encodings import Encoding
from servery.client.predictions.gateways import Place
from servery.client.predictions.steps import Lost, Outcome

REMEMBERED_SECONDS = 600.0
"""After this it is tried again: the server, or the model's environment, may be another by then."""


class Verdict(Enum):
    """What an answer says of the encoding that was used."""

    TAKEN = auto()
    NOT_THIS_TIME = auto()
    """This answer of the model has no form in it."""
    NEVER_TAKEN = auto()


_NEVER = {
    # No such media type, none that can be answered in, or the model's environment has no pyarrow.
    Encoding.ARROW: frozenset({406, 415, 501}),
    # A server without the Open Inference Protocol has nothing at its paths.
    Encoding.TENSORS: frozenset({404, 405, 406, 415, 501}),
    Encoding.JSON: frozenset[int](),
}


def verdict_of(encoding: Encoding, outcome: Outcome) -> Verdict:
    if isinstance(outcome, Lost) or encoding is Encoding.JSON:
        return Verdict.TAKEN
    if outcome.status in _NEVER[encoding]:
        return Verdict.NEVER_TAKEN
    return Verdict.NOT_THIS_TIME if outcome.headers.get("x-servery-fault") == "answer" else Verdict.TAKEN


class Offers:
    """What was refused, and until when that is believed. May be used from several threads."""

    def __init__(self) -> None:
        self._refused: dict[tuple[Place, Encoding], float] = {}

    def refused(self, place: Place, now: float) -> frozenset[Encoding]:
        return frozenset(one for one in Encoding if self._refused.get((place, one), now) > now)

    def refuse(self, place: Place, encoding: Encoding, now: float) -> None:
        self._refused[place, encoding] = now + REMEMBERED_SECONDS

    def forget(self, place: Place) -> None:
        for encoding in Encoding:
            self._refused.pop((place, encoding), None)
