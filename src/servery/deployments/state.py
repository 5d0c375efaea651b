"""An endpoint's record, and the lifecycle of its rollouts.

    IDLE ──► LOADING ──► SWITCHING ──► IDLE
               │            │
               └──► FAILED ◄┘        (any of them may begin LOADING of a newer target)

A record is immutable; ``advance`` is the only way to another phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from servery.deployments.config import Entity, Target
from servery.names import EndpointName, ModelName, Version


class Phase(StrEnum):
    """Where an endpoint's rollout stands."""

    IDLE = "idle"
    """Nothing is under way; ``active``, where there is one, is what callers get."""
    LOADING = "loading"
    """The table names the target's pools beside the active ones; routes are as they were."""
    SWITCHING = "switching"
    """The table routes to the target; the pools of before stay until every live gateway has applied it."""
    FAILED = "failed"
    """The target's pools are dropped, callers get ``active``; it is not tried again until the target changes."""


LEGAL: Mapping[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.LOADING, Phase.FAILED}),
    Phase.LOADING: frozenset({Phase.LOADING, Phase.SWITCHING, Phase.FAILED}),
    Phase.SWITCHING: frozenset({Phase.LOADING, Phase.IDLE, Phase.FAILED}),
    # SWITCHING without LOADING first is the way back to the active config, whose pools were never dropped.
    Phase.FAILED: frozenset({Phase.LOADING, Phase.SWITCHING, Phase.FAILED}),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a rollout failed: one sentence, and one for each served entity that is at fault."""

    cause: str
    by_entity: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What SQL holds of an endpoint."""

    # What people said of it.
    name: EndpointName
    id: str
    description: str
    tags: Mapping[str, str]
    created_at_ms: int
    updated_at_ms: int
    # What was asked for.
    revision: int
    entities: tuple[Entity, ...]
    strict: bool = False
    # What serves.
    active: Target | None = None
    config_version: int = 0
    """Counts the configs that became active."""
    # The rollout.
    phase: Phase = Phase.IDLE
    target: Target | None = None
    """What is being rolled out, or what failed; None when idle."""
    failure: Failure | None = None
    number: int = 0
    """The first table that shows the phase."""
    started_at_ms: int = 0
    """When the target was first asked for; for people only."""

    @property
    def routed(self) -> Target | None:
        """What the table routes to."""
        return self.target if self.phase is Phase.SWITCHING else self.active

    @property
    def held(self) -> tuple[Target, ...]:
        """The configs whose pools the table names."""
        wanted = (self.active, self.target if self.phase in {Phase.LOADING, Phase.SWITCHING} else None)
        return tuple(target for target in wanted if target is not None)

    def uses(self, model: ModelName, version: Version | None) -> bool:
        """It serves, loads or asks for the model; with ``version``, for that one version of it."""
        held = {(entity.model, entity.version) for target in self.held for entity in target.entities}
        asked = {(entity.model, entity.wanted) for entity in self.entities}
        return any(one == model and version in {None, which} for one, which in held | asked)

    @property
    def has_alias(self) -> bool:
        return any(entity.alias is not None for entity in self.entities)

    def follows(self, model: ModelName) -> bool:
        """An alias of this model decides what it serves."""
        return any(entity.model == model and entity.alias is not None for entity in self.entities)


class IllegalMove(Exception):
    """A phase was asked to follow one that it may not follow: a bug of ours."""


def advance(
    endpoint: Endpoint, phase: Phase, *, target: Target | None, failure: Failure | None = None, now_ms: int
) -> Endpoint:
    """Move an endpoint to a phase. The caller sets ``number`` once the table of that phase is known.

    A target that already gets requests when a newer one begins becomes the active config: its routes are
    out, and no connection shall see the version of before again.

    Raises:
        IllegalMove: the lifecycle does not allow it.
    """
    if phase not in LEGAL[endpoint.phase]:
        raise IllegalMove(f"endpoint {endpoint.name}: {endpoint.phase} -> {phase}")
    if endpoint.phase is Phase.SWITCHING and phase in {Phase.LOADING, Phase.IDLE}:
        endpoint = _promote(endpoint)
    started_at_ms = endpoint.started_at_ms if target == endpoint.target else now_ms
    return replace(endpoint, phase=phase, target=target, failure=failure, started_at_ms=started_at_ms)


def _promote(endpoint: Endpoint) -> Endpoint:
    unchanged = endpoint.active is not None and endpoint.target == endpoint.active
    version = endpoint.config_version if unchanged else endpoint.config_version + 1
    return replace(endpoint, active=endpoint.target, config_version=version)
