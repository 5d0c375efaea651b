"""What Servery's own environment has beyond a package's requirements: a model may use it here and miss it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from servery.package.installed import closure_of
from servery.package.requirements import read_spec
from servery.workers.environments.local import first_unmet

_OURS = ("servery",)


def unmet_requirement(folder: Path, mlmodel: Mapping[str, Any]) -> str | None:
    """Why this interpreter is not what the package asks for; None where it is."""
    return first_unmet(read_spec(folder, mlmodel))


def hidden_modules(folder: Path, mlmodel: Mapping[str, Any]) -> list[str]:
    """The top-level modules installed here that an environment made from the package's requirements would not have."""
    brought = closure_of(read_spec(folder, mlmodel).requirements)
    of_module = metadata.packages_distributions()
    return [
        module
        for module, distributions in sorted(of_module.items())
        if not any(canonicalize_name(name) in brought for name in distributions)
    ] + list(_OURS)
