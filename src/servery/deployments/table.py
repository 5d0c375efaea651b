"""The routing table as a function of the endpoints: nothing else decides what gateways hold and route."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from servery.deployments.config import Target
from servery.deployments.state import Endpoint
from servery.names import EndpointName
from servery.routing import PoolKey, PoolSpec, Route, RoutingTable, Share


def derive(endpoints: Iterable[Endpoint], *, number: int) -> RoutingTable:
    """All pools and routes, in an order that depends on nothing but their names."""
    pools: dict[PoolKey, PoolSpec] = {}
    routes: list[Route] = []
    for endpoint in sorted(endpoints, key=lambda one: one.name):
        for target in endpoint.held:
            for entity in target.entities:
                spec = entity.pool
                known = pools.get(spec.key)
                # A pool that several endpoints share has the workers of the one that asks for most.
                if known is None or known.replicas < spec.replicas:
                    pools[spec.key] = spec
        if endpoint.routed is not None:
            routes.append(_route(endpoint.name, endpoint.routed))
    return RoutingTable(number, tuple(pools[key] for key in sorted(pools)), tuple(routes))


def same_content(one: RoutingTable, other: RoutingTable) -> bool:
    return replace(one, number=0) == replace(other, number=0)


def _route(name: EndpointName, target: Target) -> Route:
    percents: dict[PoolKey, int] = {}
    for entity in target.entities:
        if entity.percent > 0:
            percents[entity.pool.key] = percents.get(entity.pool.key, 0) + entity.percent
    return Route(name, tuple(Share(key, percent) for key, percent in percents.items()), target.strict)
