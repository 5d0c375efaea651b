"""An endpoint as its pages show it: what is behind it now, taken from the gateway without waiting for anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from servery.routing import PoolKey, PoolState
from servery.serving.pages.description import Description
from servery.serving.targets import Target


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that the endpoint's requests go to."""

    label: str
    """``spam/3``"""
    percent: int
    state: PoolState
    stage: str
    """What it is doing while it loads."""
    description: Description | None
    """None until its package is on this machine."""
    streams: bool = False
    """Whether it can answer in pieces; known once it is loaded."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. Two that are equal have the same pages."""

    name: str
    is_sole: bool
    """``/invocations`` calls it too."""
    is_strict: bool
    versions: tuple[ServedVersion, ...]
    """The one with the most traffic first."""

    @property
    def page(self) -> str:
        return f"/endpoints/{quote(self.name)}"

    @property
    def invocations(self) -> str:
        return f"{self.page}/invocations"

    @property
    def main(self) -> Description | None:
        """What is said of requests: that of the version with the most traffic, as far as it is known."""
        return self.versions[0].description

    @property
    def streams(self) -> bool:
        return any(version.streams for version in self.versions)

    @property
    def unready(self) -> list[ServedVersion]:
        return [one for one in self.versions if one.state is not PoolState.READY]

    @property
    def differs(self) -> bool:
        """Whether the versions do not take or give the same."""
        signatures = [one.description.signature for one in self.versions if one.description is not None]
        return any(signature != signatures[0] for signature in signatures)


def endpoint_of(target: Target, descriptions: Mapping[PoolKey, Description], *, is_sole: bool) -> Endpoint:
    """The endpoint that ``target`` stands for."""
    percents = {share.pool: share.percent for share in target.route.shares}
    pools = sorted((choice.served.pool for choice in target.choices), key=lambda pool: -percents[pool.spec.key])
    versions = tuple(
        ServedVersion(
            pool.spec.label,
            percents[pool.spec.key],
            pool.state,
            pool.stage if pool.state is PoolState.LOADING else "",
            descriptions.get(pool.spec.key),
            pool.facts.get("streams") is True,
        )
        for pool in pools
    )
    return Endpoint(str(target.endpoint), is_sole, target.route.strict, versions)
