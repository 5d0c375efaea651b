"""What an endpoint serves: as it was asked for, and resolved to versions and digests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from servery.errors import InvalidInput
from servery.names import Alias, Digest, ModelName, Version, parse_alias, parse_model_name, parse_version
from servery.routing import PoolSpec, Variables, pool_key

ENTITIES_MAX = 10
"""As many served entities as the managed service allows in one endpoint."""
REPLICAS_MAX = 64
"""Workers of one version on one gateway; each is a process with its own copy of the model."""
VARIABLES_MAX = 100
VARIABLE_LENGTH_MAX = 32_768
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET = re.compile(r"\s*\{\{\s*secrets/.*\}\}\s*")
"""How the managed service's callers name a secret of its store."""
_ENTITY_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NOT_IN_ENTITY_NAME = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Entity:
    """One served entity as asked for; ``wanted`` is a version's number, or an alias to follow."""

    name: str
    model: ModelName
    wanted: Version | Alias
    replicas: int
    percent: int
    variables: Variables = field(default=(), repr=False)
    """Environment variables of its workers; may be secret."""

    @property
    def version(self) -> Version | None:
        return self.wanted if isinstance(self.wanted, int) else None

    @property
    def alias(self) -> Alias | None:
        return None if isinstance(self.wanted, int) else self.wanted


@dataclass(frozen=True, slots=True)
class ServedEntity:
    """One served entity with its version known. ``alias`` says that it was asked for by alias."""

    name: str
    model: ModelName
    version: Version
    digest: Digest
    alias: Alias | None
    replicas: int
    percent: int
    variables: Variables = field(default=(), repr=False)

    @property
    def pool(self) -> PoolSpec:
        key = pool_key(self.model, self.version, self.digest, self.variables)
        return PoolSpec(key, self.model, self.version, self.digest, self.replicas, self.variables)


@dataclass(frozen=True, slots=True)
class Target:
    """A resolved config. ``revision`` counts what was asked for, so that asking again is a new target."""

    revision: int
    entities: tuple[ServedEntity, ...]
    strict: bool = False
    """A request that would lose something in a coercion is refused."""

    def serves_as(self, other: Target) -> bool:
        """Callers could not tell them apart."""
        return (self.entities, self.strict) == (other.entities, other.strict)


class VersionRecord(Protocol):
    @property
    def version(self) -> Version: ...
    @property
    def digest(self) -> Digest: ...


class Versions(Protocol):
    """What endpoints need of the registry. Blocks, is called from threads; raises NotFound."""

    def resolve(self, name: ModelName, which: Version | Alias, /) -> VersionRecord: ...

    def incompatibilities(self, old: Digest, new: Digest, /) -> Sequence[str]:
        """Why callers of one package cannot call another; nothing where they can."""


@dataclass(frozen=True, slots=True)
class EntityRequest:
    """A served entity as a caller wrote it; ``version`` is ``3``, ``"3"`` or ``"@champion"``."""

    model: object
    version: object
    name: object = None
    replicas: object = None
    variables: object = field(default=None, repr=False)


def parse_entities(
    requests: Sequence[EntityRequest],
    percents: Mapping[str, int] | None,
) -> tuple[Entity, ...]:
    """Check what was asked for and give every entity its name, replicas and percentage.

    ``percents`` is by entity name; None leaves all requests to the one entity.

    Raises:
        InvalidInput: names the field.
    """
    if not 1 <= len(requests) <= ENTITIES_MAX:
        raise InvalidInput("served_entities", expected=f"1 to {ENTITIES_MAX} entities", got=f"{len(requests)} entities")
    parsed = [_parse_entity(request, f"served_entities[{index}]") for index, request in enumerate(requests)]
    names = [entity.name for entity in parsed]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidInput("served_entities", expected="entities with different names", got=f"{repeated[0]} twice")
    if percents is None and len(parsed) > 1:
        raise InvalidInput("traffic_config", expected="a percentage for each of the entities", got="nothing")
    shares = _parse_percents({names[0]: 100} if percents is None else percents, names)
    return tuple(replace(entity, percent=shares.get(entity.name, 0)) for entity in parsed)


def with_percents(entities: Sequence[Entity], percents: Mapping[str, int]) -> tuple[Entity, ...]:
    """The same entities with other shares of the traffic. Raises InvalidInput."""
    shares = _parse_percents(percents, [entity.name for entity in entities])
    return tuple(replace(entity, percent=shares.get(entity.name, 0)) for entity in entities)


def _parse_entity(request: EntityRequest, field: str) -> Entity:
    model = parse_model_name(request.model, field=f"{field}.entity_name")
    wanted: Version | Alias
    if isinstance(request.version, str) and request.version.startswith("@"):
        wanted = parse_alias(request.version[1:], field=f"{field}.entity_version")
    else:
        wanted = parse_version(request.version, field=f"{field}.entity_version")
    default = _NOT_IN_ENTITY_NAME.sub("-", f"{model}-{wanted}")[:128]
    name = default if request.name in (None, "") else request.name
    if not isinstance(name, str) or not _ENTITY_NAME.fullmatch(name):
        raise InvalidInput(f"{field}.name", expected="1 to 128 letters, digits, '_' or '-'", got=name)
    replicas = 1 if request.replicas is None else request.replicas
    if not isinstance(replicas, int) or isinstance(replicas, bool) or not 1 <= replicas <= REPLICAS_MAX:
        expected = f"an integer from 1 to {REPLICAS_MAX}"
        raise InvalidInput(f"{field}.min_provisioned_concurrency", expected=expected, got=replicas)
    variables = parse_variables(request.variables, field=f"{field}.environment_vars")
    return Entity(name, model, wanted, replicas, percent=0, variables=variables)


def parse_variables(given: object, *, field: str) -> Variables:
    """Environment variables for workers, sorted by name. Raises InvalidInput, which never shows a value."""
    if given is None:
        return ()
    if not isinstance(given, Mapping) or len(given) > VARIABLES_MAX:
        raise InvalidInput(field, expected=f"at most {VARIABLES_MAX} names with their values", got=f"{type(given)}")
    for name, value in given.items():
        if not isinstance(name, str) or not _VARIABLE_NAME.fullmatch(name):
            raise InvalidInput(field, expected="names of letters, digits and '_'", got=name)
        if not isinstance(value, str) or "\0" in value or len(value) > VARIABLE_LENGTH_MAX:
            expected = f"a text of at most {VARIABLE_LENGTH_MAX} characters"
            raise InvalidInput(f"{field}.{name}", expected=expected, got=f"a {type(value).__name__}")
        if _SECRET.fullmatch(value):
            raise InvalidInput(f"{field}.{name}", expected="a value, since there is no store of secrets yet", got=value)
    return tuple(sorted(given.items()))


def _parse_percents(percents: Mapping[str, int], names: Sequence[str]) -> Mapping[str, int]:
    field = "traffic_config.routes"
    for name, percent in percents.items():
        if name not in names:
            raise InvalidInput(f"{field}.served_entity_name", expected=f"one of {', '.join(names)}", got=name)
        if not 0 <= percent <= 100:
            expected = "an integer from 0 to 100"
            raise InvalidInput(f"{field}.traffic_percentage", expected=expected, got=percent)
    if sum(percents.values()) != 100:
        got = f"a sum of {sum(percents.values())}"
        raise InvalidInput(f"{field}.traffic_percentage", expected="percentages that add up to 100", got=got)
    return percents


def resolve(entities: Sequence[Entity], versions: Versions, *, revision: int, strict: bool = False) -> Target:
    """Look up every version and alias. Blocking.

    Raises:
        NotFound: a model, version or alias does not exist.
    """
    return Target(revision, tuple(_resolve_entity(entity, versions) for entity in entities), strict)


def _resolve_entity(entity: Entity, versions: Versions) -> ServedEntity:
    record = versions.resolve(entity.model, entity.wanted)
    return ServedEntity(
        name=entity.name,
        model=entity.model,
        version=record.version,
        digest=record.digest,
        alias=entity.alias,
        replicas=entity.replicas,
        percent=entity.percent,
        variables=entity.variables,
    )


def pinned(target: Target) -> tuple[Entity, ...]:
    """The entities of a resolved config, asked for by version instead of alias."""
    return tuple(
        Entity(entity.name, entity.model, entity.version, entity.replicas, entity.percent, entity.variables)
        for entity in target.entities
    )
