"""Whether a request is sent once more: the policy as tables, and the budget."""

from __future__ import annotations

from threading import Thread

import pytest

from servery.client.predictions.retries import (
    Ending,
    RetryBudget,
    RetryPolicy,
    ending_of,
    pause_before_next,
    retry_after_of,
)
from servery.client.predictions.steps import Loss, Lost, Outcome, Reply

POLICY = RetryPolicy(attempts_max=3, backoff_seconds=1.0, backoff_seconds_max=3.0)
NO_RESEND = RetryPolicy(attempts_max=3, backoff_seconds=1.0, resend=False)


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [
        (Lost(Loss.UNSENT), Ending.UNTOUCHED),
        (Lost(Loss.BROKEN), Ending.UNKNOWN),
        (Lost(Loss.LATE), Ending.FINAL),
        (Reply(429, {}, b""), Ending.UNTOUCHED),
        (Reply(503, {}, b""), Ending.UNTOUCHED),
        (Reply(502, {}, b""), Ending.UNKNOWN),
        (Reply(500, {}, b""), Ending.FINAL),
        (Reply(504, {}, b""), Ending.FINAL),
        (Reply(400, {}, b""), Ending.FINAL),
        (Reply(404, {}, b""), Ending.FINAL),
    ],
)
def test_how_an_attempt_ended_for_the_next_one(outcome: Outcome, ending: Ending) -> None:
    assert ending_of(outcome) is ending


@pytest.mark.parametrize(
    ("what", "policy", "ending", "attempts", "remaining", "retry_after", "luck", "pause"),
    [
        ("a first pause is from nothing…", POLICY, Ending.UNTOUCHED, 1, 60, None, 0.0, 0.0),
        ("…to the backoff", POLICY, Ending.UNTOUCHED, 1, 60, None, 0.5, 0.5),
        ("the next one to twice as much", POLICY, Ending.UNTOUCHED, 2, 60, None, 0.5, 1.0),
        ("the last attempt was the last", POLICY, Ending.UNTOUCHED, 3, 60, None, 0.5, None),
        ("what would not help is not done", POLICY, Ending.FINAL, 1, 60, None, 0.5, None),
        ("what may have been seen is sent again", POLICY, Ending.UNKNOWN, 1, 60, None, 0.5, 0.5),
        ("unless that was forbidden", NO_RESEND, Ending.UNKNOWN, 1, 60, None, 0.5, None),
        ("what was not seen is, all the same", NO_RESEND, Ending.UNTOUCHED, 1, 60, None, 0.5, 0.5),
        ("never before the server said", POLICY, Ending.UNTOUCHED, 1, 60, 7, 0.0, 7.0),
        ("and not with all others at that moment", POLICY, Ending.UNTOUCHED, 1, 60, 7, 0.5, 7.5),
        ("not beyond the deadline", POLICY, Ending.UNTOUCHED, 1, 7, 7, 0.0, None),
        ("nor at it", POLICY, Ending.UNTOUCHED, 1, 0.5, None, 0.5, None),
    ],
)
def test_the_pause_before_the_next_attempt(
    what: str,
    policy: RetryPolicy,
    ending: Ending,
    attempts: int,
    remaining: float,
    retry_after: float | None,
    luck: float,
    pause: float | None,
) -> None:
    decided = pause_before_next(
        policy, ending, attempts, remaining_seconds=remaining, retry_after_seconds=retry_after, luck=luck
    )
    assert decided == pause, what


def test_a_pause_grows_no_further_than_its_limit() -> None:
    policy = RetryPolicy(attempts_max=100, backoff_seconds=1.0, backoff_seconds_max=3.0)
    pause = pause_before_next(policy, Ending.UNTOUCHED, 50, remaining_seconds=60, retry_after_seconds=None, luck=1.0)
    assert pause == 3.0


def test_of_a_thousand_calls_that_all_fail_a_tenth_is_tried_again_and_a_few() -> None:
    budget = RetryBudget(RetryPolicy(budget_ratio=0.1, budget_reserve=10))
    taken = 0
    for _ in range(1000):
        budget.call_begins()
        taken += budget.take()
    assert 100 <= taken <= 110


def test_a_budget_of_nothing_tries_nothing_again() -> None:
    budget = RetryBudget(RetryPolicy(budget_ratio=0.0, budget_reserve=0))
    budget.call_begins()
    assert not budget.take()


def test_good_times_save_no_more_than_the_reserve() -> None:
    budget = RetryBudget(RetryPolicy(budget_ratio=0.5, budget_reserve=3))
    for _ in range(100):
        budget.call_begins()
    assert [budget.take() for _ in range(4)] == [True, True, True, False]


def test_threads_take_no_more_than_there_is() -> None:
    budget = RetryBudget(RetryPolicy(budget_ratio=0.0, budget_reserve=50))
    taken: list[bool] = []
    threads = [Thread(target=lambda: taken.extend(budget.take() for _ in range(100))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 50


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        (" 2 ", 2.0),
        ("9" * 400, 1e9),
        ("Tue, 14 Nov 2023 22:13:25 GMT", 5.0),
        ("Tue, 14 Nov 2023 22:13:15 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_a_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after_of(value, now_ms=1_700_000_000_000) == seconds
