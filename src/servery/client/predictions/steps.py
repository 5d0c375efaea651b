"""The words between what decides a call and what carries it out: generators yield steps and are sent outcomes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Generic, NamedTuple, TypeVar

BodyT_co = TypeVar("BodyT_co", covariant=True)
ResultT = TypeVar("ResultT")


class Deadline(NamedTuple):
    """When a call has to be over: ``at`` is a time of the clock's ``monotonic``, ``timeout_seconds`` what was asked."""

    at: float
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """One request to be sent once. With ``stream_deadline`` a good answer is left open, and has until then."""

    method: str
    url: str
    deadline: Deadline
    headers: Mapping[str, str]
    content: bytes = b""
    stream_deadline: Deadline | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is to be done for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply(Generic[BodyT_co]):
    """An answer; the names of ``headers`` are in lower case. ``body`` is bytes, or what gives them while they come."""

    status: int
    headers: Mapping[str, str]
    body: BodyT_co


class Loss(Enum):
    """Why there is no answer."""

    UNSENT = auto()
    """No connection was made: nothing was sent."""
    BROKEN = auto()
    """The connection broke; the request may have reached the model."""
    LATE = auto()
    """The deadline passed."""


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no whole answer. ``detail`` is what the connection said, for people."""

    loss: Loss
    detail: str = ""


class Interrupted(Exception):
    """What an open body raises instead of its next bytes."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.detail)
        self.lost = lost


Outcome = Reply[Any] | Lost
Steps = Generator[Send | Pause, Outcome | None, ResultT]
"""Sent back to it are the outcome of a Send, and None after a Pause."""


def outcome_of(step: Send) -> Steps[Outcome]:
    """Have one request sent."""
    outcome = yield step
    if outcome is None:
        raise AssertionError("whoever carries out a Send says how it ended")
    return outcome
