"""What requirement lines lead to among the distributions that are installed here: no index is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def read_requirement(line: str) -> Requirement | None:
    """The requirement of a line of a requirements file; None where an option stands there, or what an installer alone
    understands.
    """
    try:
        return Requirement(line.partition(" --")[0])
    except InvalidRequirement:
        return None


def applies(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    """Does its marker hold on this machine, where these extras are asked for?"""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def brought_by(requirement: Requirement) -> Iterator[Requirement]:
    """What an installer brings along with it, by what the installed distribution says; nothing where there is none."""
    try:
        lines = metadata.requires(requirement.name) or ()
    except metadata.PackageNotFoundError:
        return
    for brought in map(read_requirement, lines):
        if brought is not None and applies(brought, requirement.extras):
            yield brought


def closure_of(lines: Iterable[str]) -> set[str]:
    """The canonical names of all that these lines ask for, directly or through others that are installed here."""
    waiting = [one for one in map(read_requirement, lines) if one is not None and applies(one)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting += brought_by(requirement)
    return {name for name, _ in seen}
