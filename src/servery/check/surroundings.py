"""What Servery's own environment has beyond a package's requirements: a model may use it here and miss it elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from servery.package.requirements import read_spec
from servery.workers.environments.local import first_unmet

_OURS = ("servery",)


def unmet_requirement(folder: Path, mlmodel: Mapping[str, Any]) -> str | None:
    """Why this interpreter is not what the package asks for; None where it is."""
    return first_unmet(read_spec(folder, mlmodel))


def hidden_modules(folder: Path, mlmodel: Mapping[str, Any]) -> list[str]:
    """The top-level modules installed here that an environment made from the package's requirements would not have."""
    brought = _closure(read_spec(folder, mlmodel).requirements)
    of_module = metadata.packages_distributions()
    return [
        module
        for module, distributions in sorted(of_module.items())
        if not any(canonicalize_name(name) in brought for name in distributions)
    ] + list(_OURS)


def _closure(lines: Iterable[str]) -> set[str]:
    """The installed distributions that these requirement lines lead to."""
    found: set[str] = set()
    waiting = [one for line in lines if (one := _parsed(line)) is not None]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        found.add(name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            brought = [Requirement(line) for line in metadata.requires(name) or ()]
        except (metadata.PackageNotFoundError, InvalidRequirement):
            continue
        extras = ("", *requirement.extras)
        waiting += [
            one for one in brought if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras)
        ]
    return found


def _parsed(line: str) -> Requirement | None:
    try:
        return None if line.startswith("-") else Requirement(line.partition(" --")[0])
    except InvalidRequirement:
        return None
