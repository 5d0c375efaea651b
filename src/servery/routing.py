"""The routing table: an immutable, numbered snapshot of all endpoints, the one thing both planes share.

The control plane publishes table N; every gateway loads the pools that it names, routes by its routes, and
tells which number it has applied and how each pool fares. A pool that no route names is being proved: its
version is loaded and warmed while callers still go to the routes of before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

import msgspec

from servery.names import Digest, EndpointName, ModelName, Version

PoolKey = NewType("PoolKey", str)
"""``spam/3-0f3c…``: a version and the start of its digest, unique on a gateway."""
Variables = tuple[tuple[str, str], ...]
"""Environment variables of a version's workers, by name."""


def pool_key(model: ModelName, version: Version, digest: Digest, variables: Variables = ()) -> PoolKey:
    """Workers with other variables are another pool, whose key has a mark of them and not their values."""
    mark = hashlib.sha256(json.dumps(variables).encode()).hexdigest()[:8] if variables else ""
    return PoolKey(f"{model}/{version}-{digest[:16]}{f'-{mark}' if mark else ''}")


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What a gateway must hold in workers: one version, so many times."""

    key: PoolKey
    model: ModelName
    version: Version
    digest: Digest
    replicas: int = 1
    variables: Variables = field(default=(), repr=False)
    """What the endpoint gives its workers; may be secret."""

    @property
    def label(self) -> str:
        """How callers see it, in ``X-Model-Version``: ``spam/3``."""
        return f"{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class Share:
    """A pool and the percentage of an endpoint's requests that it gets."""

    pool: PoolKey
    percent: int


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint's shares; their percentages add up to 100."""

    endpoint: EndpointName
    shares: tuple[Share, ...]
    strict: bool = False
    """A request that would lose something in a coercion is refused."""


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Numbered from 1, each number published once; 0 is the empty table that a new gateway begins with."""

    number: int = 0
    pools: tuple[PoolSpec, ...] = ()
    routes: tuple[Route, ...] = ()


def pick(route: Route, draw: float) -> PoolKey:
    """The pool for one request; ``draw`` is uniform in [0, 1)."""
    threshold = draw * 100.0
    for share in route.shares:
        threshold -= share.percent
        if threshold < 0:
            return share.pool
    return route.shares[-1].pool


class PoolState(StrEnum):
    """The life of a version on one gateway."""

    LOADING = "loading"
    """Its package is fetched, its workers start, load and answer the input example."""
    READY = "ready"
    """Every worker asked for has been ready once; requests may come."""
    FAILED = "failed"
    """It did not load, or answered its example wrongly; it stays failed until the table drops it."""
    DRAINING = "draining"
    """The table no longer names it; what it accepted is answered, then its processes end."""


@dataclass(frozen=True, slots=True)
class PoolReport:
    """How a pool fares on one gateway. ``cause`` is one sentence, set when it failed."""

    key: PoolKey
    state: PoolState
    cause: str | None = None
    workers_ready: int = 0
    stage: str = ""
    """What a pool that loads is doing, in a few words."""


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """What a gateway tells the control plane, on each change and as a heartbeat."""

    gateway: str
    address: str
    """Where callers reach it: ``http://127.0.0.1:8401``."""
    table_number: int
    """The newest table whose routes it has applied."""
    pools: tuple[PoolReport, ...] = ()


def encode(value: RoutingTable | GatewayReport) -> bytes:
    return msgspec.json.encode(value)


def decode_table(body: bytes) -> RoutingTable:
    """Raises msgspec.ValidationError or msgspec.DecodeError for what is no table."""
    return msgspec.json.decode(body, type=RoutingTable)


def decode_report(body: bytes) -> GatewayReport:
    """Raises msgspec.ValidationError or msgspec.DecodeError for what is no report."""
    return msgspec.json.decode(body, type=GatewayReport)


def live_pools(table: RoutingTable) -> frozenset[PoolKey]:
    """The pools that some route names: those a caller's request can reach."""
    return frozenset(share.pool for route in table.routes for share in route.shares)


def specs_by_key(pools: Sequence[PoolSpec]) -> dict[PoolKey, PoolSpec]:
    return {spec.key: spec for spec in pools}
