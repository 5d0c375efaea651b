"""Python interpreters of this machine, by version."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from servery.errors import EnvironmentFailed

_ASK = "import platform; print(platform.python_implementation(), platform.python_version())"
_ANSWER_SECONDS = 20
_OLDEST = (3, 9)
"""The oldest Python that the guest runs on."""


def find_interpreter(wanted: str | None, *, path: str, home: Path) -> tuple[str, str]:
    """An interpreter of the version ``wanted``, and its version in full.

    ``3.11.7`` and ``3.11`` both take any 3.11: patches are compatible. This interpreter comes first, then those on
    ``path``, then those that pyenv and uv keep below ``home``, the highest patch first. Blocking.

    Raises:
        EnvironmentFailed: there is none, or the version is one that no worker runs on.
    """
    ours = platform.python_version()
    minor = ".".join((wanted or ours).split(".")[:2])
    if minor == ".".join(ours.split(".")[:2]):
        return sys.executable, ours
    try:
        number = tuple(int(part) for part in minor.split("."))
    except ValueError:
        raise EnvironmentFailed(f"the model asks for Python '{(wanted or '')[:50]}', which is no version") from None
    if len(number) != 2 or number < _OLDEST:
        raise EnvironmentFailed(
            f"the model asks for Python {wanted}, and workers run on Python {_OLDEST[0]}.{_OLDEST[1]} and newer"
        )
    for candidate in _candidates(minor, path, home):
        version = _ask(candidate)
        if version is not None and version.startswith(f"{minor}."):
            return candidate, version
    raise EnvironmentFailed(
        f"the model asks for Python {wanted}, and this machine has none: install it, for example with "
        f"'uv python install {minor}', or serve it in the present one with --env-manager local"
    )


def _candidates(minor: str, path: str, home: Path) -> Iterator[str]:
    folders = [Path(folder) for folder in path.split(os.pathsep) if folder]
    kept = ((home / ".pyenv" / "versions", f"{minor}.*"), (home / ".local/share/uv/python", f"cpython-{minor}.*"))
    for parent, pattern in kept:
        found = sorted(parent.glob(pattern), key=_patch, reverse=True) if parent.is_dir() else []
        folders += [version / "bin" for version in found]
    for folder in folders:
        interpreter = folder / f"python{minor}"
        if os.access(interpreter, os.X_OK):
            yield str(interpreter)


def _patch(folder: Path) -> int:
    digits = folder.name.split(".")[-1].partition("-")[0]
    return int(digits) if digits.isdecimal() else -1


def _ask(interpreter: str) -> str | None:
    """Its version, or None when it does not run, as a shim of pyenv may not, or is no CPython."""
    try:
        ran = subprocess.run(
            [interpreter, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    implementation, _, version = ran.stdout.strip().partition(" ")
    return version if ran.returncode == 0 and implementation == "CPython" else None
