"""Whether a request is sent once more, and after what pause: a pure policy, and the budget that all calls share.

Predictions have no effects, so a request is sent again even where the model may have seen it. A server that is down or
overloaded gets no flood from this: over time at most a tenth more requests than its callers made, and a few.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from threading import Lock

from servery.client.predictions.steps import Loss, Lost, Reply


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a call may be tried again, always within its own deadline."""

    attempts_max: int = 4
    """The first one is counted; 1: nothing is tried again."""
    backoff_seconds: float = 0.1
    """The pause is drawn from zero to this, and to twice as much with every further attempt."""
    backoff_seconds_max: float = 2.0
    budget_ratio: float = 0.1
    """How many attempts more than calls there may be in the long run, as a share of the calls."""
    budget_reserve: int = 10
    """How many there may be at once beyond that."""
    resend: bool = True
    """Send a request again that may have reached the model before its connection broke. Without it, only requests
    that were refused, or never left, are sent again."""


class Ending(Enum):
    """How an attempt ended, as far as the next one is concerned."""

    FINAL = auto()
    """Another attempt would end no better."""
    UNTOUCHED = auto()
    """The model has not seen the request."""
    UNKNOWN = auto()
    """The model may have seen it."""


_UNTOUCHED = frozenset({429, 503})
"""Too many requests, and nothing that could answer."""
_UNKNOWN = frozenset({502})
"""A proxy lost what is behind it."""
_RETRY_AFTER_SECONDS_MAX = 1e9


def ending_of(outcome: Reply[object] | Lost) -> Ending:
    if isinstance(outcome, Lost):
        endings = {Loss.UNSENT: Ending.UNTOUCHED, Loss.BROKEN: Ending.UNKNOWN, Loss.LATE: Ending.FINAL}
        return endings[outcome.loss]
    if outcome.status in _UNTOUCHED:
        return Ending.UNTOUCHED
    return Ending.UNKNOWN if outcome.status in _UNKNOWN else Ending.FINAL


def pause_before_next(
    policy: RetryPolicy,
    ending: Ending,
    attempts: int,
    *,
    remaining_seconds: float,
    retry_after_seconds: float | None,
    luck: float,
) -> float | None:
    """After how many seconds to try again; None: not at all.

    ``attempts`` were made, ``luck`` is from 0 to 1 and spreads callers that failed together. Where the server said
    when to come back, no attempt is made before that.
    """
    if ending is Ending.FINAL or attempts >= policy.attempts_max:
        return None
    if ending is Ending.UNKNOWN and not policy.resend:
        return None
    longest = min(policy.backoff_seconds * 2 ** (attempts - 1), policy.backoff_seconds_max)
    pause = luck * longest + (retry_after_seconds or 0.0)
    return pause if pause < remaining_seconds else None


class RetryBudget:
    """How many further attempts there may be, in all calls together. May be used from several threads."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._ratio = policy.budget_ratio
        self._left_max = max(1.0, policy.budget_reserve)
        self._left = float(policy.budget_reserve)
        self._lock = Lock()

    def call_begins(self) -> None:
        """Every call earns its share of an attempt."""
        with self._lock:
            self._left = min(self._left_max, self._left + self._ratio)

    def take(self) -> bool:
        """Take one attempt, if there is one."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


def retry_after_of(value: str | None, *, now_ms: int) -> float | None:
    """Seconds, from a ``Retry-After`` in either of its forms (RFC 9110, section 10.2.3); None where it has none."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _RETRY_AFTER_SECONDS_MAX)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now_ms / 1000)
