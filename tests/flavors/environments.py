"""The matrix's environments: one a group, made by uv from the lines of ``groups.toml``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
GROUPS = Path(__file__).with_name("groups.toml")
_INSTALL_SECONDS = 1800
# Old mlflow releases cap what they never minded; servery needs the newer one in the same environment.
_OVERRIDES = "packaging>=24\n"


@dataclass(frozen=True)
class Group:
    name: str
    flavors: tuple[str, ...]
    requirements: tuple[str, ...]
    python: str = sys.executable


def read_groups() -> list[Group]:
    entries = tomllib.loads(GROUPS.read_text())
    return [
        Group(name, tuple(entry["flavors"]), tuple(entry["requirements"]), entry.get("python", sys.executable))
        for name, entry in entries.items()
    ]


def prepare(group: Group, folder: Path) -> Path:
    """The interpreter of the group's environment, made anew unless it stands as it is asked for."""
    place, stamp = folder / group.name, folder / f"{group.name}.made"
    interpreter = place / "bin" / "python"
    asked = "\n".join((group.python, *group.requirements))
    if stamp.exists() and stamp.read_text() == asked:
        return interpreter
    folder.mkdir(parents=True, exist_ok=True)
    overrides = folder / "overrides.txt"
    overrides.write_text(_OVERRIDES)
    _uv("venv", "--quiet", "--clear", "--python", group.python, str(place))
    _uv(
        *("pip", "install", "--quiet", "--python", str(interpreter), "--override", str(overrides)),
        *("--editable", str(ROOT), *group.requirements),
    )
    stamp.write_text(asked)
    return interpreter


def versions(interpreter: Path) -> dict[str, str]:
    """Every distribution of an environment and its version."""
    listed = _uv("pip", "freeze", "--quiet", "--python", str(interpreter), "--exclude-editable")
    pairs = (line.partition("==") for line in listed.splitlines() if "==" in line)
    return {name.lower(): version for name, _, version in pairs}


def _uv(*arguments: str) -> str:
    uv = shutil.which("uv") or shutil.which(ROOT / ".tools" / "bin" / "uv")
    if uv is None:
        raise SystemExit("uv is missing; install it, or let 'make install' do it.")
    # uv does not read the variable by which pip is told of a folder with wheels.
    environment = {"UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", ""), **os.environ}
    ended = subprocess.run(
        [uv, *arguments], capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False, env=environment
    )
    if ended.returncode:
        raise SystemExit(f"uv {' '.join(arguments[:2])} ended with {ended.returncode}:\n{ended.stderr}")
    return ended.stdout
