"""What the tests of endpoints are written with: versions, targets, and a registry of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from servery.deployments.config import Entity, EntityRequest, ServedEntity, Target
from servery.deployments.policy import GatewayView
from servery.deployments.state import Endpoint, Failure, Phase
from servery.errors import NotFound
from servery.names import Alias, Digest, EndpointName, ModelName, Version
from servery.routing import PoolKey, PoolReport, PoolState

SPAM = ModelName("spam")
CHAMPION = Alias("champion")
NAME = EndpointName("mail")


def digest(version: int, model: str = SPAM) -> Digest:
    return Digest(hashlib.sha256(f"{model}/{version}".encode()).hexdigest())


def served(version: int, *, percent: int = 100, replicas: int = 1, name: str | None = None) -> ServedEntity:
    return ServedEntity(
        name=name or f"spam-{version}",
        model=SPAM,
        version=Version(version),
        digest=digest(version),
        alias=None,
        replicas=replicas,
        percent=percent,
    )


def target(*entities: int | ServedEntity, revision: int = 1) -> Target:
    return Target(revision, tuple(served(one) if isinstance(one, int) else one for one in entities))


def key(version: int) -> PoolKey:
    return served(version).pool.key


def asked(version: int | Alias = CHAMPION, *, name: str | None = None, percent: int = 100) -> Entity:
    wanted = Version(version) if isinstance(version, int) else version
    return Entity(name or f"spam-{version}", SPAM, wanted, replicas=1, percent=percent)


def endpoint(
    phase: Phase = Phase.IDLE,
    *,
    active: Target | None = None,
    to: Target | None = None,
    failure: Failure | None = None,
    number: int = 5,
    name: str = NAME,
) -> Endpoint:
    return Endpoint(
        name=EndpointName(name),
        id=f"id-{name}",
        description="",
        tags={},
        created_at_ms=0,
        updated_at_ms=0,
        revision=1,
        entities=(asked(),),
        active=active,
        config_version=0 if active is None else 1,
        phase=phase,
        target=to,
        failure=failure,
        number=number,
    )


def gateway(name: str = "g1", *, number: int = 5, **pools: PoolState) -> GatewayView:
    """``v2=PoolState.READY`` is the pool of version 2."""
    reports = {key(int(which[1:])): state for which, state in pools.items()}
    return GatewayView(
        name,
        "http://127.0.0.1:8401",
        number,
        {
            one: PoolReport(
                one,
                state,
                cause="it has no weights." if state is PoolState.FAILED else None,
                workers_ready=1 if state is PoolState.READY else 0,
            )
            for one, state in reports.items()
        },
    )


def silent(name: str = "g1") -> GatewayView:
    """Remembered from before a restart; it has not reported since."""
    return GatewayView(name, "http://127.0.0.1:8401", 0, None)


def request(which: int | str = "@champion", *, name: str | None = None, replicas: int | None = None) -> EntityRequest:
    return EntityRequest(model=SPAM, version=which, name=name, replicas=replicas)


@dataclass(frozen=True)
class _Record:
    version: Version
    digest: Digest


@dataclass
class FakeVersions:
    """A registry of one model."""

    versions: set[int] = field(default_factory=lambda: {1, 2, 3, 4, 5})
    aliases: dict[Alias, int] = field(default_factory=lambda: {CHAMPION: 1})
    incompatible: set[tuple[int, int]] = field(default_factory=set)
    """From which version callers cannot go to which."""

    def resolve(self, name: ModelName, which: Version | Alias, /) -> _Record:
        if name != SPAM:
            raise NotFound("Registered model", name)
        version = which if isinstance(which, int) else self.aliases.get(which)
        if version is None:
            raise NotFound("Alias", f"{name}@{which}")
        if version not in self.versions:
            raise NotFound("Model version", f"{name}/{version}")
        return _Record(Version(version), digest(version))

    def incompatibilities(self, old: Digest, new: Digest, /) -> tuple[str, ...]:
        pairs = {(digest(one), digest(other)) for one, other in self.incompatible}
        return ("Input column 'x' is gone.",) if (old, new) in pairs else ()
