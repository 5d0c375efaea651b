"""The lifecycle of a rollout, and which moves it refuses."""

from __future__ import annotations

import itertools

import pytest

from servery.deployments.state import LEGAL, Failure, IllegalMove, Phase, advance
from tests.unit.deployments.examples import endpoint, target

ONE, TWO, THREE = target(1), target(2), target(3)
ILLEGAL = [(one, other) for one, other in itertools.product(Phase, Phase) if other not in LEGAL[one]]


@pytest.mark.parametrize(("before", "after"), ILLEGAL)
def test_a_move_that_is_not_legal_is_refused(before: Phase, after: Phase) -> None:
    with pytest.raises(IllegalMove):
        advance(endpoint(before, active=ONE, to=TWO), after, target=TWO, now_ms=1)


def test_these_moves_are_not_legal() -> None:
    assert set(ILLEGAL) == {
        (Phase.IDLE, Phase.IDLE),
        (Phase.IDLE, Phase.SWITCHING),
        (Phase.LOADING, Phase.IDLE),
        (Phase.SWITCHING, Phase.SWITCHING),
        (Phase.FAILED, Phase.IDLE),
    }


def test_a_finished_target_is_the_active_config_with_the_next_config_version() -> None:
    after = advance(endpoint(Phase.SWITCHING, active=ONE, to=TWO), Phase.IDLE, target=None, now_ms=1)

    assert (after.active, after.target, after.config_version) == (TWO, None, 2)


def test_a_failed_target_leaves_the_active_config() -> None:
    for phase in (Phase.LOADING, Phase.SWITCHING):
        failed = advance(
            endpoint(phase, active=ONE, to=TWO), Phase.FAILED, target=TWO, failure=Failure("why"), now_ms=1
        )
        assert (failed.active, failed.config_version, failed.routed, failed.held) == (ONE, 1, ONE, (ONE,))


def test_a_target_that_gets_requests_stays_when_a_newer_one_begins() -> None:
    after = advance(endpoint(Phase.SWITCHING, active=ONE, to=TWO), Phase.LOADING, target=THREE, now_ms=1)

    assert (after.routed, after.target, after.config_version) == (TWO, THREE, 2)


def test_a_target_that_only_loads_goes_when_a_newer_one_begins() -> None:
    after = advance(endpoint(Phase.LOADING, active=ONE, to=TWO), Phase.LOADING, target=THREE, now_ms=1)

    assert (after.routed, after.held, after.config_version) == (ONE, (ONE, THREE), 1)


def test_the_way_back_to_the_active_config_is_no_new_config() -> None:
    back = advance(endpoint(Phase.LOADING, active=ONE, to=TWO), Phase.SWITCHING, target=ONE, now_ms=1)
    after = advance(back, Phase.IDLE, target=None, now_ms=2)

    assert (after.active, after.config_version) == (ONE, 1)
