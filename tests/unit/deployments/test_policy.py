"""What is done next with an endpoint, as a table: the situation, and the step that follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servery.deployments.config import Target
from servery.deployments.policy import Action, Fail, Finish, GatewayView, Load, Snapshot, Switch, Wait, next_action
from servery.deployments.state import Endpoint, Failure, Phase
from servery.routing import PoolReport, PoolState
from tests.unit.deployments.examples import endpoint, gateway, key, served, silent, target

ONE, TWO, THREE = target(1), target(2), target(3)
READY, LOADING, FAILED = PoolState.READY, PoolState.LOADING, PoolState.FAILED
BROKEN = "spam/2 failed to load: it has no weights."
TWO_FAILED = Failure(BROKEN, {"spam-2": BROKEN})
NO_ALIAS = Failure("Alias 'spam@champion' not found.")

IDLE = endpoint(active=ONE)
TO_TWO = endpoint(Phase.LOADING, active=ONE, to=TWO)
AT_TWO = endpoint(Phase.SWITCHING, active=ONE, to=TWO)
GAVE_UP = endpoint(Phase.FAILED, active=ONE, to=TWO, failure=TWO_FAILED)


def snapshot(
    one: Endpoint, desired: Target | Failure, *gateways: GatewayView, elapsed: float = 1, table: tuple[int, ...] = (1,)
) -> Snapshot:
    return Snapshot(
        endpoint=one,
        desired=desired,
        gateways=gateways,
        table_pools=frozenset(key(version) for version in table),
        elapsed_seconds=elapsed,
        timeout_seconds=600,
    )


@pytest.mark.parametrize(
    ("why", "given", "expected"),
    [
        # Idle.
        ("what is asked for serves", snapshot(IDLE, ONE, gateway()), Wait()),
        ("the same asked for again is no update", snapshot(IDLE, target(1, revision=2), gateway()), Wait()),
        ("another version is loaded first", snapshot(IDLE, TWO, gateway(v1=READY)), Load(TWO)),
        ("the first version too", snapshot(endpoint(), ONE, gateway()), Load(ONE)),
        ("the table waits for gateways to come", snapshot(IDLE, TWO), Load(TWO)),
        (
            "other shares are a target",
            snapshot(IDLE, target(served(1, percent=0), 2)),
            Load(target(served(1, percent=0), 2)),
        ),
        ("what cannot be found fails at once", snapshot(IDLE, NO_ALIAS, gateway()), Fail(None, NO_ALIAS)),
        # Loading.
        ("nobody could load it", snapshot(TO_TWO, TWO), Wait()),
        ("it loads", snapshot(TO_TWO, TWO, gateway(v1=READY, v2=LOADING)), Wait()),
        ("the gateway knows nothing of it yet", snapshot(TO_TWO, TWO, gateway(v1=READY)), Wait()),
        ("it is ready", snapshot(TO_TWO, TWO, gateway(v1=READY, v2=READY)), Switch(TWO)),
        ("it is ready on all", snapshot(TO_TWO, TWO, gateway(v2=READY), gateway("g2", v2=READY)), Switch(TWO)),
        ("one still loads", snapshot(TO_TWO, TWO, gateway(v2=READY), gateway("g2", v2=LOADING)), Wait()),
        ("one has not reported since the restart", snapshot(TO_TWO, TWO, gateway(v2=READY), silent("g2")), Wait()),
        ("the report is older than this attempt", snapshot(TO_TWO, TWO, gateway(number=4, v2=READY)), Wait()),
        ("one failed", snapshot(TO_TWO, TWO, gateway(v2=READY), gateway("g2", v2=FAILED)), Fail(TWO, TWO_FAILED)),
        ("time is up only with a gateway", snapshot(TO_TWO, TWO, elapsed=601), Wait()),
        ("it became ready in the last moment", snapshot(TO_TWO, TWO, gateway(v2=READY), elapsed=601), Switch(TWO)),
        ("a newer target wins", snapshot(TO_TWO, THREE, gateway(v2=LOADING)), Load(THREE)),
        ("back to what serves: all must have caught up", snapshot(TO_TWO, ONE, gateway(v2=LOADING)), Switch(ONE)),
        ("its alias is gone, but it goes on", snapshot(TO_TWO, NO_ALIAS, gateway(v2=READY)), Switch(TWO)),
        # Switching.
        ("all have taken the routes", snapshot(AT_TWO, TWO, gateway(v2=READY), gateway("g2", v2=READY)), Finish()),
        ("one has not", snapshot(AT_TWO, TWO, gateway(v2=READY), gateway("g2", number=4, v2=READY)), Wait()),
        ("one has not reported since the restart", snapshot(AT_TWO, TWO, gateway(v2=READY), silent("g2")), Wait()),
        ("nobody is there to take them", snapshot(AT_TWO, TWO), Wait()),
        (
            "a gateway that came later fails to load",
            snapshot(AT_TWO, TWO, gateway(number=0, v2=FAILED)),
            Fail(TWO, TWO_FAILED),
        ),
        ("a newer target wins", snapshot(AT_TWO, THREE, gateway(number=4, v2=READY)), Load(THREE)),
        ("back again is a new move", snapshot(AT_TWO, ONE, gateway(v2=READY)), Load(ONE)),
        ("its alias is gone, but it goes on", snapshot(AT_TWO, NO_ALIAS, gateway(v2=READY)), Finish()),
        # Failed.
        ("it is not tried again", snapshot(GAVE_UP, TWO, gateway(v1=READY)), Wait()),
        (
            "until it is asked for again",
            snapshot(GAVE_UP, target(2, revision=2), gateway()),
            Load(target(2, revision=2)),
        ),
        ("or something else is", snapshot(GAVE_UP, THREE, gateway()), Load(THREE)),
        ("back to what serves", snapshot(GAVE_UP, ONE, gateway(v1=READY)), Switch(ONE)),
        ("another cause is told", snapshot(GAVE_UP, NO_ALIAS, gateway()), Fail(None, NO_ALIAS)),
        (
            "the gateway has not dropped the failed attempt yet",
            snapshot(GAVE_UP, target(2, revision=2), gateway(v2=FAILED)),
            Wait(),
        ),
        (
            "an endpoint that shares the pool holds it: its failure is ours",
            snapshot(GAVE_UP, target(2, revision=2), gateway(v2=FAILED), table=(1, 2)),
            Load(target(2, revision=2)),
        ),
        ("what a silent gateway holds is not known", snapshot(GAVE_UP, THREE, silent()), Wait()),
        (
            "a gateway that never drops it",
            snapshot(GAVE_UP, target(2, revision=2), gateway(v2=FAILED), elapsed=600),
            Fail(target(2, revision=2), Failure("Gateway g1 did not forget the last attempt within 600 s.")),
        ),
        (
            "a switch goes on while a failed pool of the next target is dropped",
            snapshot(AT_TWO, THREE, gateway(v2=READY, v3=FAILED)),
            Finish(),
        ),
    ],
)
def test_next_action(why: str, given: Snapshot, expected: Action) -> None:
    assert next_action(given) == expected, why


def test_a_version_that_is_not_ready_in_time_is_named_with_its_gateway() -> None:
    action = next_action(snapshot(TO_TWO, TWO, gateway(v2=READY), gateway("g2", v2=LOADING), elapsed=600))

    assert isinstance(action, Fail)
    assert action.failure.by_entity == {"spam-2": "spam/2 was not ready on gateway g2 within 600 s."}


def test_a_gateway_that_does_not_take_the_routes_in_time_is_named() -> None:
    action = next_action(snapshot(AT_TWO, TWO, gateway(v2=READY), gateway("g2", number=4, v2=READY), elapsed=600))

    assert isinstance(action, Fail)
    assert action.failure.cause == "Gateway g2 did not apply the new routes within 600 s."


def test_more_replicas_of_the_same_version_are_waited_for() -> None:
    two_workers = target(served(1, replicas=2))
    loading = endpoint(Phase.LOADING, active=ONE, to=two_workers)
    with_one = gateway(v1=READY)
    with_two = replace(with_one, pools={key(1): PoolReport(key(1), READY, workers_ready=2)})

    assert next_action(snapshot(loading, two_workers, with_one)) == Wait()
    assert next_action(snapshot(loading, two_workers, with_two)) == Switch(two_workers)


def test_an_entity_without_traffic_is_loaded_all_the_same() -> None:
    shadow = target(1, served(2, percent=0))
    loading = endpoint(Phase.LOADING, active=ONE, to=shadow)

    assert next_action(snapshot(loading, shadow, gateway(v1=READY, v2=LOADING))) == Wait()
    assert next_action(snapshot(loading, shadow, gateway(v1=READY, v2=READY))) == Switch(shadow)
