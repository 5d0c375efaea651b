"""Endpoints as callers reach them: which versions stand behind each, and when a new route is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from servery.observability.counts import RequestCounts
from servery.routing import PoolKey, PoolState, Route, pick
from servery.serving.batcher import Batcher
from servery.workers.pool import Pool
from servery.workers.request import Request
from servery.workers.stream import Stream
from servery_worker.wire import Options


@dataclass(frozen=True, slots=True)
class Served:
    """One version at work on this gateway."""

    pool: Pool
    batcher: Batcher

    @property
    def header(self) -> bytes:
        """The version as ``X-Model-Version`` says it: ``spam/3``, percent-encoded where a header needs that."""
        return quote(self.pool.spec.label, safe="/").encode()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the versions that an endpoint's requests go to."""

    served: Served
    counts: RequestCounts
    header: bytes

    @property
    def streams(self) -> bool | None:
        """Whether the model answers in pieces; None where that is not known yet."""
        return self.served.pool.streams


class Target:
    """One endpoint with its route. Immutable: another route makes another target."""

    __slots__ = ("_choices", "_only", "_random", "endpoint", "options", "route")

    def __init__(self, route: Route, choices: Mapping[PoolKey, Choice], random: Random) -> None:
        self.endpoint = route.endpoint
        self.route = route
        self.options = Options.STRICT if route.strict else Options(0)
        """What every request of the endpoint asks of its worker."""
        self._choices = choices
        self._only = choices[route.shares[0].pool] if len(route.shares) == 1 else None
        self._random = random

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(self._choices.values())

    def admit(self, request: Request, pinned: Choice | None = None) -> Choice:
        """The one way in, for every protocol: choose a version, unless one is ``pinned``, and queue the request for it.

        Raises:
            QueueFull, Unavailable: the request was not taken.
        """
        choice = pinned or self.choose()
        choice.served.batcher.admit(request, endpoint=self.endpoint)
        return choice

    def choose(self) -> Choice:
        """One of the versions, as the traffic config has it."""
        return self._only or self._choices[pick(self.route, self._random.random())]

    def open(self, stream: Stream, choice: Choice) -> None:
        """The way in for an answer in pieces, unless the model is known not to: it begins at once.

        Raises:
            StreamsFull, Unavailable: the stream was not taken.
        """
        choice.served.batcher.open(stream, endpoint=self.endpoint)

    def stands(self, route: Route, served: Mapping[PoolKey, Served]) -> bool:
        """Whether this is still the target for ``route`` with the pools as they are."""
        return self.route == route and all(served.get(key) is choice.served for key, choice in self._choices.items())


def routes_to_take(
    wanted: Mapping[str, Route], current: Mapping[str, Route], states: Mapping[PoolKey, PoolState]
) -> dict[str, Route]:
    """The routes to go by now: a pure policy.

    A wanted route is taken once all of its pools are ready. Until then the endpoint keeps the route that it has; an
    endpoint that has none takes the new one at once, and its requests wait for the pool.
    """
    return {
        endpoint: route
        if endpoint not in current or all(states[share.pool] is PoolState.READY for share in route.shares)
        else current[endpoint]
        for endpoint, route in wanted.items()
    }
