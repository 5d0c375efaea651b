"""Whether this interpreter's own environment will do for a package: asked of what is installed, not of an index."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from servery.package.requirements import EnvironmentSpec


def first_unmet(spec: EnvironmentSpec) -> str | None:
    """Why this interpreter does not satisfy the package, in a few words; None where it does."""
    ours = platform.python_version()
    if spec.python is not None and spec.python.split(".")[:2] != ours.split(".")[:2]:
        return f"it asks for Python {spec.python}, and this is {ours}"
    return next(_unmet(spec.requirements), None)


def _unmet(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("-"):
            continue  # An option says where packages come from, and asks for none.
        try:
            requirement = Requirement(line.partition(" --")[0])
        except InvalidRequirement:
            yield f"'{line}' cannot be told from what is installed"
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from _unmet_requirement(requirement, line)


def _unmet_requirement(requirement: Requirement, line: str) -> Iterator[str]:
    try:
        found = metadata.distribution(requirement.name)
    except metadata.PackageNotFoundError:
        yield f"it asks for '{line}', which is not installed"
        return
    if requirement.url is not None:
        yield f"'{line}' cannot be told from what is installed"
    elif not requirement.specifier.contains(found.version, prereleases=True):
        yield f"it asks for '{line}', and {found.version} is installed"
    for extra in requirement.extras:
        for brought in map(Requirement, found.requires or ()):
            is_of_extra = brought.marker is not None and not brought.marker.evaluate({"extra": ""})
            if is_of_extra and brought.marker is not None and brought.marker.evaluate({"extra": extra}):
                yield from _unmet_requirement(brought, f"{line}: {brought.name}")
