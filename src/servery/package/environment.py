"""What a model needs to run: its requirements, found by loading it in a fresh process, and the environment files.

The rule for a requirement: the distribution of a module that was imported when the model loaded and answered its
example, at the version that is installed here. Left out are

- a distribution that another one of the list requires, since an installer brings it. Cloudpickle, numpy, scipy and
  pandas stay all the same: the pickle is read by the one and holds objects of the others, which another version may
  not read.
- those that only other libraries asked for, none of which requires them, if the model loads and answers its example
  without them too: libraries import much that they merely find.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import Version

from servery.errors import InvalidInput, LoadFailed
from servery.package.installed import closure_of
from servery.package.requirements import CONDA_FILE, PYTHON_ENV_FILE, REQUIREMENTS_FILE

ENVIRONMENT_FILES = {"conda": CONDA_FILE, "virtualenv": PYTHON_ENV_FILE}
"""The ``env`` entry of the python_function flavor."""

PROBE_TIMEOUT_SECONDS = 600
"""A large model may take minutes to load; one that takes longer is taken to hang."""
_ALWAYS_KEPT = frozenset({"cloudpickle", "numpy", "scipy", "pandas"})
_READERS = frozenset({"__main__", "servery_worker", "cloudpickle"})
"""They import what a pickle names."""
_NEVER_LISTED = frozenset({"servery", "pip", "setuptools", "wheel"})


def check_requirements(requirements: Sequence[str]) -> list[str]:
    """The lines of a requirements file, as given.

    Raises:
        InvalidInput: it is not a list of lines.
    """
    lines = [requirements] if isinstance(requirements, str) else list(requirements)
    for line in lines:
        if not isinstance(line, str) or not line.strip() or "\n" in line or "\r" in line:
            raise InvalidInput("requirements", expected="a list of pip requirement lines", got=repr(line))
    return lines


def infer_requirements(folder: Path, mlmodel: Mapping[str, Any], *, name: str) -> list[str]:
    """The requirements of the package in ``folder``, each ``name==version``, sorted. Runs the model's code, elsewhere.

    Raises:
        LoadFailed: in a fresh process the model does not load, or does not answer its example.
    """
    found = _probe(folder, mlmodel, name=name)
    if found["error"] is not None:
        raise LoadFailed(f"The model '{name}'", f"in a fresh process, {found['error']}")
    importers: Mapping[str, Sequence[str]] = found["importers"]
    doubtful = doubtful_modules(importers)
    if doubtful:
        try:
            is_needed = _probe(folder, mlmodel, name=name, hidden=doubtful)["error"] is not None
        except LoadFailed:
            is_needed = True
        if is_needed:
            doubtful = frozenset()
    return requirements_of(set(importers) - doubtful)


def _probe(folder: Path, mlmodel: Mapping[str, Any], *, name: str, hidden: Iterable[str] = ()) -> dict[str, Any]:
    """What a fresh process finds, see ``probe``. Raises LoadFailed when it does not live to tell."""
    command = [sys.executable, "-P", "-m", "servery.package.probe", str(folder), *sorted(hidden)]
    try:
        done = subprocess.run(
            command, input=json.dumps(mlmodel).encode(), capture_output=True, timeout=PROBE_TIMEOUT_SECONDS, check=False
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        cause = f"it was not ready within {PROBE_TIMEOUT_SECONDS} s in a fresh process."
        raise LoadFailed(f"The model '{name}'", cause) from None
    except ValueError:
        cause = f"a fresh process that loaded it ended with status {done.returncode}."
        raise LoadFailed(f"The model '{name}'", cause) from None
    return found


def doubtful_modules(importers: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The modules that only installed libraries asked for, and that none of those which are needed requires.

    Asked for by the guest, which unpickles the model, and by the model's own code: those are needed.
    """
    of_module = metadata.packages_distributions()
    installed = {module: _distributions_of([module], of_module) for module in importers}

    def is_own(importer: str) -> bool:
        # Compiled code tells no name when it imports, and is a library's.
        is_library = (
            not importer or importer in sys.stdlib_module_names or bool(_distributions_of([importer], of_module))
        )
        return importer in _READERS or not is_library

    needed = {name for module, asking in importers.items() if any(map(is_own, asking)) for name in installed[module]}
    needed |= closure_of(needed)
    return frozenset(module for module, names in installed.items() if names and not names & needed)


def requirements_of(modules: Iterable[str]) -> list[str]:
    """The requirements that these imported top-level modules tell of, by the rule above."""
    names = _distributions_of(modules, metadata.packages_distributions())
    return [f"{name}=={_installed_version(name)}" for name in sorted(_reduce(names))]


def _distributions_of(modules: Iterable[str], of_module: Mapping[str, Sequence[str]]) -> set[str]:
    """The distributions that installed these top-level modules, without those that no index has."""
    names = {canonicalize_name(name) for module in modules for name in of_module.get(module, ())}
    return {name for name in names - _NEVER_LISTED if not _is_editable(name)}


def _is_editable(distribution: str) -> bool:
    # PEP 610: a distribution that was installed from a folder in place says so. Its modules travel in the pickle.
    origin = metadata.distribution(distribution).read_text("direct_url.json")
    return bool(origin and json.loads(origin).get("dir_info", {}).get("editable"))


def _reduce(names: set[str]) -> set[str]:
    closures = {name: closure_of([name]) for name in names}

    def is_brought(name: str) -> bool:
        # Of two that require each other, the first one stays.
        return any(
            name in closures[other] and (other not in closures[name] or other < name) for other in names - {name}
        )

    return {name for name in names if name in _ALWAYS_KEPT or not is_brought(name)}


def _installed_version(distribution: str) -> str:
    # A local version (2.3.0+cu121) is known to no index.
    return Version(metadata.version(distribution)).public


def write_environment(folder: Path, requirements: Sequence[str]) -> None:
    """Write requirements.txt, python_env.yaml and conda.yaml, as MLflow does."""
    (folder / REQUIREMENTS_FILE).write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    versions = {name: _version_or_none(name) for name in ("pip", "setuptools", "wheel")}
    python_env = {
        "python": platform.python_version(),
        "build_dependencies": [name if version is None else f"{name}=={version}" for name, version in versions.items()],
        "dependencies": [f"-r {REQUIREMENTS_FILE}"],
    }
    pip = "pip" if versions["pip"] is None else f"pip<={versions['pip']}"
    conda = {
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", pip, {"pip": list(requirements)}],
        "name": "mlflow-env",
    }
    (folder / PYTHON_ENV_FILE).write_text(yaml.safe_dump(python_env, sort_keys=False, default_flow_style=False))
    (folder / CONDA_FILE).write_text(yaml.safe_dump(conda, default_flow_style=False))


def _version_or_none(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
