"""Who calls an endpoint can go on calling it: over an incompatible version nothing moves without a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from servery.deployments.config import ServedEntity, Versions, resolve
from servery.deployments.state import Endpoint
from servery.errors import Incompatible
from servery.names import Alias, ModelName, Version

_INSIST_ON_DEPLOY = "--allow-incompatible (allow_incompatible in a request)"


def refuse_incompatible(
    endpoint: Endpoint, wanted: Iterable[ServedEntity], versions: Versions, *, insist: str = _INSIST_ON_DEPLOY
) -> None:
    """Compare what would get requests with every version that gets some now, and has callers. Blocking.

    A version that gets requests already needs no word again, whatever its share becomes.

    Raises:
        Incompatible: says how to insist.
    """
    routed = _asked(endpoint.routed.entities) if endpoint.routed is not None else []
    known = {entity.digest for entity in routed}
    for new in _asked(wanted):
        for old in routed if new.digest not in known else ():
            problems = versions.incompatibilities(old.digest, new.digest)
            if problems:
                raise Incompatible(
                    endpoint.name, old=old.pool.label, new=new.pool.label, problems=problems, insist=insist
                )


def refuse_incompatible_alias(
    endpoints: Iterable[Endpoint], name: ModelName, alias: Alias, version: Version, versions: Versions
) -> None:
    """The same for each endpoint that would follow ``alias`` to ``version``. Blocking.

    Raises:
        Incompatible: for the first endpoint that should not.
        NotFound: there is no such version.
    """
    insist = f"'servery models alias {name} {alias} {version} --allow-incompatible' (allow_incompatible in a request)"
    for endpoint in endpoints:
        following = [
            replace(entity, wanted=version)
            for entity in endpoint.entities
            if (entity.model, entity.alias) == (name, alias)
        ]
        refuse_incompatible(endpoint, resolve(following, versions, revision=0).entities, versions, insist=insist)


def _asked(entities: Iterable[ServedEntity]) -> list[ServedEntity]:
    """Those that get requests."""
    return [entity for entity in entities if entity.percent > 0]
