"""What a caller prefers: the values of Accept and Accept-Encoding (RFC 9110, section 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from servery.errors import NotAcceptable
from servery_worker.wire import AnswerType

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
_ANSWERS: Mapping[bytes, AnswerType] = {
    b"application/json": AnswerType.JSON,
    ARROW.encode(): AnswerType.ARROW,
    PARQUET.encode(): AnswerType.PARQUET,
    # Events are asked for in another way; who takes them as well as an answer of one piece gets JSON.
    b"text/event-stream": AnswerType.JSON,
}
"""In the order of our own preference, which decides between what a caller likes equally."""
CONTENT_TYPES = (b"application/json", ARROW.encode(), PARQUET.encode())
"""By the answer type."""


def answer_type_of(accept: bytes | None) -> AnswerType:
    """The form of the answer that suits the caller best; JSON where it does not say.

    Raises:
        NotAcceptable: it takes none of those that there are.
    """
    if not accept or accept in (b"*/*", b"application/json"):
        return AnswerType.JSON
    weights = dict(weighted(accept))
    best = max(_ANSWERS, key=lambda name: _weight(name, weights))
    if _weight(best, weights) <= 0:
        raise NotAcceptable("Accept", accept.decode("latin-1"), offered=("application/json", ARROW, PARQUET))
    return _ANSWERS[best]


def _weight(name: bytes, weights: Mapping[bytes, float]) -> float:
    """The most specific range that fits counts."""
    for fitting in (name, name.partition(b"/")[0] + b"/*", b"*/*"):
        if fitting in weights:
            return weights[fitting]
    return 0.0


def weighted(value: bytes) -> Sequence[tuple[bytes, float]]:
    """The entries of a list with weights, in lower case and without other parameters; 1 where none is given. What is
    no weight is none: the entry counts as if it were not wanted."""
    entries = []
    for entry in value.lower().split(b","):
        name, *parameters = (part.strip() for part in entry.split(b";"))
        if name:
            given = [part[2:] for part in parameters if part.startswith(b"q=")]
            entries.append((name, _number(given[0]) if given else 1.0))
    return entries


def _number(text: bytes) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
