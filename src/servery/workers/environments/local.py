"""Whether this interpreter's own environment will do for a package: asked of what is installed, not of an index."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement

from servery.package.installed import applies, brought_by, read_requirement
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
        requirement = read_requirement(line)
        if requirement is None:
            yield f"'{line}' cannot be told from what is installed"
        elif applies(requirement):
            yield from _unmet_requirement(requirement, line)


def _unmet_requirement(requirement: Requirement, line: str) -> Iterator[str]:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        yield f"it asks for '{line}', which is not installed"
        return
    if requirement.url is not None:
        yield f"'{line}' cannot be told from what is installed"
    elif not requirement.specifier.contains(found, prereleases=True):
        yield f"it asks for '{line}', and {found} is installed"
    for brought in brought_by(requirement):
        if not applies(brought):  # Only an extra asks for it: the installer that brought the rest knew of none.
            yield from _unmet_requirement(brought, f"{line}: {brought.name}")
