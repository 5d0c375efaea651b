"""The routing table that endpoints make."""

from __future__ import annotations

from servery.deployments.state import Failure, Phase
from servery.deployments.table import derive
from servery.routing import Route, Share
from tests.unit.deployments.examples import NAME, endpoint, key, served, target

ONE, TWO = target(1), target(2)


def test_while_a_version_loads_it_has_a_pool_and_no_route() -> None:
    table = derive([endpoint(Phase.LOADING, active=ONE, to=TWO)], number=7)

    assert [spec.key for spec in table.pools] == [key(1), key(2)]
    assert table.routes == (Route(NAME, (Share(key(1), 100),)),)
    assert table.number == 7


def test_while_it_switches_the_old_pool_stays() -> None:
    table = derive([endpoint(Phase.SWITCHING, active=ONE, to=TWO)], number=1)

    assert [spec.key for spec in table.pools] == [key(1), key(2)]
    assert table.routes == (Route(NAME, (Share(key(2), 100),)),)


def test_a_failed_target_has_nothing() -> None:
    table = derive([endpoint(Phase.FAILED, active=ONE, to=TWO, failure=Failure("why"))], number=1)

    assert [spec.key for spec in table.pools] == [key(1)]
    assert table.routes == (Route(NAME, (Share(key(1), 100),)),)


def test_an_endpoint_that_never_served_has_no_route() -> None:
    assert derive([endpoint(Phase.LOADING, to=ONE)], number=1).routes == ()
    assert derive([endpoint()], number=1).pools == ()


def test_endpoints_share_the_pool_of_a_version_and_the_greater_number_of_replicas_counts() -> None:
    table = derive([endpoint(active=target(served(1, replicas=3)), name="a"), endpoint(active=ONE, name="b")], number=1)

    assert [(spec.key, spec.replicas) for spec in table.pools] == [(key(1), 3)]
    assert [route.endpoint for route in table.routes] == ["a", "b"]


def test_a_share_of_nothing_is_loaded_and_not_routed() -> None:
    table = derive([endpoint(active=target(1, served(2, percent=0)))], number=1)

    assert [spec.key for spec in table.pools] == [key(1), key(2)]
    assert table.routes[0].shares == (Share(key(1), 100),)


def test_two_entities_of_one_version_have_one_share() -> None:
    both = target(served(1, percent=30), served(1, percent=70, name="again"))

    assert derive([endpoint(active=both)], number=1).routes[0].shares == (Share(key(1), 100),)


def test_the_order_of_endpoints_does_not_matter() -> None:
    a, b = endpoint(active=ONE, name="a"), endpoint(active=TWO, name="b")

    assert derive([a, b], number=1) == derive([b, a], number=1)
