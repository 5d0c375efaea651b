"""The lock of a package: every distribution that its requirements lead to, at one release, with its hashes.

uv resolves it for every platform of the author's Python version. Releases that are installed here are preferred, so
that the model is served by what it was trained with.
"""

from __future__ import annotations

import logging
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from servery.config import PackageSources
from servery.errors import EnvironmentFailed
from servery.package.requirements import LOCK_FILE, REQUIREMENTS_FILE, lock_head
from servery.package.uv import command, failure_sentence, prepare_folder, uv_variables

_LOCK_SECONDS = 120

log = logging.getLogger(__name__)


def write_lock(folder: Path, sources: PackageSources) -> None:
    """Write ``requirements.lock`` for the ``requirements.txt`` in ``folder``.

    Raises:
        EnvironmentFailed: there is no network, or no set of releases fits; the message says which.
    """
    requirements = folder / REQUIREMENTS_FILE
    lines = requirements.read_text(encoding="utf-8").splitlines()
    unlockable = next((line for line in lines if not _is_plain(line)), None)
    if unlockable is not None:
        raise EnvironmentFailed(f"'{unlockable}' is no requirement that an index can answer.")
    locked = _resolve(lines, sources)
    (folder / LOCK_FILE).write_text(lock_head(requirements.read_bytes()) + locked, encoding="utf-8")


def try_lock(folder: Path, sources: PackageSources) -> None:
    """As :func:`write_lock`; where it fails, the package has no lock, and a warning says why.

    It is not tried on a machine that is told to stay offline.
    """
    if sources.offline:
        return
    try:
        write_lock(folder, sources)
    except EnvironmentFailed as error:
        log.warning("the package has no lock, its requirements are resolved where it is served: %s", error.message)


def _is_plain(line: str) -> bool:
    try:
        return Requirement(line).url is None
    except InvalidRequirement:
        return False


def _resolve(lines: Sequence[str], sources: PackageSources) -> str:
    with tempfile.TemporaryDirectory(prefix="servery-lock-") as place:
        folder = Path(place) / "uv"
        prepare_folder(folder, sources)
        (folder / "requirements.in").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        # uv keeps to the releases of an earlier answer as far as it can.
        answer = folder / "requirements.out"
        answer.write_text("".join(f"{line}\n" for line in _installed()), encoding="utf-8")
        version = ".".join(platform.python_version_tuple()[:2])
        arguments = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--python-version", version)
        try:
            ran = subprocess.run(
                command("pip", "compile", *arguments, "--output-file", answer.name, "requirements.in"),
                cwd=folder,
                env={**uv_variables(sources), "UV_HTTP_RETRIES": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_LOCK_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EnvironmentFailed(f"the requirements were not resolved within {_LOCK_SECONDS} s") from None
        if ran.returncode:
            raise EnvironmentFailed(failure_sentence(ran.stderr, lines))
        return answer.read_text(encoding="utf-8")


def _installed() -> list[str]:
    """``name==version`` of every distribution here, those aside that no index can have."""
    found = []
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        try:
            public = Version(version).public
        except (InvalidVersion, TypeError):
            continue
        if name and distribution.read_text("direct_url.json") is None:
            found.append(f"{name}=={public}")
    return sorted(set(found))
