"""What a package asks of its Python environment, read as data: nothing is installed, run or asked of an index.

Where it stands, the first that is there:

- ``requirements.lock``, written by ``save_model`` from ``requirements.txt``: every distribution with its hashes;
- ``uv.lock``, of a model that was logged from a uv project;
- the ``dependencies`` of ``python_env.yaml``, which lead to ``requirements.txt``;
- ``requirements.txt``;
- the pip part of ``conda.yaml``.

The Python version stands in ``python_env.yaml``, ``conda.yaml`` or the MLmodel file. The names of the files are those
that ``flavors.python_function.env`` of the MLmodel gives.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servery.errors import PackageInvalid
from servery.package.manifest import BYTECODE_FOLDER, check_relative_path
from servery.package.plain_yaml import load_plain

REQUIREMENTS_FILE = "requirements.txt"
PYTHON_ENV_FILE = "python_env.yaml"
CONDA_FILE = "conda.yaml"
LOCK_FILE = "requirements.lock"
PROJECT_FILES = ("uv.lock", "pyproject.toml", ".python-version")
_FILE_BYTES_MAX = 8 << 20
_INCLUDES_MAX = 16
"""How many files may be read one from the other."""
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s+|=)(\S+)$")
_EDITABLE = re.compile(r"(-e|--editable)\b")
_ARCHIVE = re.compile(r"(?:file:)?(?P<path>[^\s:;@]+\.(?:whl|tar\.gz|zip|tar\.bz2))(?=\s|;|$)")
_LOCK_HEAD = re.compile(r"# Locks requirements\.txt with SHA-256 ([0-9a-f]{64})\.")
_BUILD_TOOL_KEPT = "setuptools"
"""Old models import ``pkg_resources``, which a Python environment brought before Python 3.12."""


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What an environment must hold. Packages with equal ones share an environment."""

    python: str | None
    """As the author had it, ``3.11.7``; None when the package does not say."""
    requirements: tuple[str, ...]
    """Lines of a requirements file, includes resolved, comments left out."""
    constraints: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """What the author's environment had besides: installed with the requirements, and not asked of another one."""
    lock: tuple[str, ...] | None = None
    """Lines with hashes that stand for all of the requirements."""
    is_project: bool = False
    """The files are a uv project's, and its lock counts instead of the requirements."""
    files: tuple[tuple[str, str], ...] = ()
    """Path and SHA-256 of each file of the package that takes part."""
    notes: tuple[str, ...] = ()
    """Sentences on what was asked for and is left out."""

    def identity(self) -> dict[str, Any]:
        """What makes two environments the same, beside the interpreter: plain JSON types."""
        installed = self.lock if self.lock is not None else (*self.requirements, *self.constraints, *self.tools)
        return {"lines": [] if self.is_project else list(installed), "files": [list(file) for file in self.files]}


def read_spec(folder: Path, mlmodel: Mapping[str, Any]) -> EnvironmentSpec:
    """What the package in ``folder`` asks for.

    Raises:
        PackageInvalid: a file that counts is missing, too large or no text, leaves the package, or asks for an editable
            install; it is named.
    """
    return _Reader(folder, mlmodel).spec()


class _Reader:
    def __init__(self, folder: Path, mlmodel: Mapping[str, Any]) -> None:
        python_function = mlmodel["flavors"]["python_function"]
        env = python_function.get("env")
        names = env if isinstance(env, dict) else {"conda": env} if isinstance(env, str) else {}
        self._folder = folder
        self._python = python_function.get("python_version")
        self._conda = names.get("conda") or CONDA_FILE
        self._python_env = names.get("virtualenv") or PYTHON_ENV_FILE
        self._constraints: list[str] = []
        self._files: dict[str, str] = {}
        self._notes: list[str] = []
        self._included = 0

    def spec(self) -> EnvironmentSpec:
        python_env, conda = self._yaml(self._python_env), self._yaml(self._conda)
        python = python_env.get("python") or _conda_python(conda) or self._python
        lines = self._requirements(python_env, conda)
        is_project = self._has("uv.lock") and self._has("pyproject.toml")
        lock = None if is_project else self._lock()
        for path in PROJECT_FILES if is_project else ():
            if self._has(path):
                self._name_file(path)
        return EnvironmentSpec(
            python=_python_text(python),
            requirements=tuple(lines),
            constraints=tuple(self._constraints),
            tools=tuple(
                tool.replace("==", "<=")
                for tool in _texts(python_env.get("build_dependencies"))
                if tool.startswith(_BUILD_TOOL_KEPT)
            ),
            lock=lock,
            is_project=is_project,
            files=tuple(sorted(self._files.items())),
            notes=tuple(self._notes),
        )

    def _requirements(self, python_env: Mapping[str, Any], conda: Mapping[str, Any]) -> list[str]:
        if python_env.get("dependencies"):
            return list(self._resolve(_texts(python_env["dependencies"]), self._python_env))
        if self._has(REQUIREMENTS_FILE):
            return list(self._include(REQUIREMENTS_FILE))
        entries = _list(conda.get("dependencies"))
        pip = [line for entry in entries if isinstance(entry, dict) for line in _list(entry.get("pip"))]
        for entry in _texts(conda.get("dependencies")):
            if re.split(r"[=<>! ]", entry)[0] not in ("python", "pip"):
                self._notes.append(f"'{entry}' of {self._conda} is left out: only conda installs it.")
        return list(self._resolve(_texts(pip), self._conda))

    def _include(self, path: str) -> Iterator[str]:
        self._included += 1
        if self._included > _INCLUDES_MAX:
            raise PackageInvalid(f"The package's file '{path}' is one of more than {_INCLUDES_MAX} that are included.")
        yield from self._resolve(self._text(path).splitlines(), path)

    def _resolve(self, lines: Sequence[str], source: str) -> Iterator[str]:
        for line in _logical_lines(lines):
            include = _INCLUDE.match(line)
            if _EDITABLE.match(line):
                raise PackageInvalid(f"The package's file '{source}' asks for an editable install: '{line[:200]}'.")
            if include is None:
                yield self._located(line, source)
            elif include[1] in ("-r", "--requirement"):
                yield from self._include(self._inside(include[2], source))
            else:
                self._constraints += self._include(self._inside(include[2], source))

    def _located(self, line: str, source: str) -> str:
        """The line; an archive of the package that it names is one of the files."""
        archive = _ARCHIVE.match(line)
        if archive is not None and "://" not in line.partition(" ")[0]:
            path = self._inside(archive["path"], source)
            self._name_file(path)
            return f"./{path}{line[archive.end() :]}"
        return line

    def _inside(self, path: str, source: str) -> str:
        try:
            inside = check_relative_path(path.removeprefix("./"))
            if BYTECODE_FOLDER not in inside.split("/"):
                return inside
            raise PackageInvalid(f"'{inside}' is no file of the package.")
        except PackageInvalid:
            raise PackageInvalid(f"The package's file '{source}' names '{path[:200]}', outside the package.") from None

    def _name_file(self, path: str) -> None:
        self._files[path] = hashlib.sha256(self._read(path)).hexdigest()

    def _lock(self) -> tuple[str, ...] | None:
        if not (self._has(LOCK_FILE) and self._has(REQUIREMENTS_FILE)):
            return None
        text = self._text(LOCK_FILE)
        head = _LOCK_HEAD.match(text)
        if head is None or head[1] != hashlib.sha256(self._read(REQUIREMENTS_FILE)).hexdigest():
            self._notes.append(f"{LOCK_FILE} is left out: it does not lock this {REQUIREMENTS_FILE}.")
            return None
        return tuple(_logical_lines(text.splitlines()))

    def _has(self, path: str) -> bool:
        return (self._folder / path).is_file()

    def _yaml(self, path: str) -> Mapping[str, Any]:
        if not self._has(path):
            return {}
        found = load_plain(self._read(path), what=f"The package's file '{path}'")
        if not isinstance(found, dict):
            raise PackageInvalid(f"The package's file '{path}' is not a mapping of fields.")
        return found

    def _text(self, path: str) -> str:
        try:
            return self._read(path).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise PackageInvalid(f"The package's file '{path}' is not UTF-8.") from None

    def _read(self, path: str) -> bytes:
        limit = None if _ARCHIVE.fullmatch(path) else _FILE_BYTES_MAX
        try:
            with (self._folder / path).open("rb") as file:
                found = file.read() if limit is None else file.read(limit + 1)
        except OSError as error:
            raise PackageInvalid(f"The package's file '{path}' cannot be read: {error.strerror}.") from None
        if limit is not None and len(found) > limit:
            raise PackageInvalid(f"The package's file '{path}' is larger than {limit} bytes.")
        return found


def lock_head(requirements: bytes) -> str:
    """The first line of a lock: which ``requirements.txt`` it stands for."""
    return f"# Locks requirements.txt with SHA-256 {hashlib.sha256(requirements).hexdigest()}.\n"


def _logical_lines(lines: Sequence[str]) -> Iterator[str]:
    """Lines without comments and blanks; one that ends in a backslash goes on in the next."""
    held = ""
    for line in lines:
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if bare.endswith("\\"):
            held += bare[:-1].rstrip() + " "
            continue
        whole, held = (held + bare).strip(), ""
        if whole:
            yield whole
    if held.strip():
        yield held.strip()


def _python_text(python: Any) -> str | None:
    # YAML reads a bare 3.10 as the number 3.1; nothing runs on Python 3.1.
    text = "" if python is None else str(python).strip()
    return {"3.1": "3.10", "3.2": "3.20"}.get(text, text) or None


def _conda_python(conda: Mapping[str, Any]) -> str | None:
    for entry in _texts(conda.get("dependencies")):
        if match := re.fullmatch(r"python\s*={1,2}\s*([0-9][0-9.]*[0-9])(=.*)?", entry):
            return match[1]
    return None


def _texts(entries: Any) -> list[str]:
    return [entry for entry in _list(entries) if isinstance(entry, str)]


def _list(entries: Any) -> list[Any]:
    return entries if isinstance(entries, list) else []
