"""One environment made by uv, in a folder that nobody takes for an environment until it is renamed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from servery.config import PackageSources
from servery.errors import EnvironmentFailed
from servery.package.requirements import EnvironmentSpec
from servery.package.uv import command, failure_sentence, prepare_folder, uv_variables, without_credentials

VENV = "venv"
"""The virtual environment's folder, below the build's and the environment's."""
_OUTPUT_LENGTH_MAX = 1 << 20
"""How many characters of what uv prints are kept to tell why it failed; the log has all."""
_READ_BYTES = 1 << 16
_ENDS_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes uv once the kernel has been asked to end it with this process: one that went on alone would write into a
folder that the next try has removed."""
_DONE_MARKS = (" + ", " - ", " ~ ")
"""Before each distribution of uv's last list: they tell of no progress."""

Progress = Callable[[str], None]
"""Told in a few words what is being done."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made: the environment of a package, for an interpreter."""

    spec: EnvironmentSpec
    package: Path
    interpreter: str


async def build(order: Order, folder: Path, log: BinaryIO, sources: PackageSources, progress: Progress) -> None:
    """Make the new ``folder`` with a virtual environment in ``folder/venv``. Cancelling it ends uv.

    Nothing but uv is run: no shell, no activation, and of the package only what uv itself builds.

    Raises:
        EnvironmentFailed: uv failed; the message says at which requirement, and why.
        OSError: the folder cannot be written.
    """
    prepare_folder(folder, sources)
    uv = _Uv(folder, log, sources, progress, order.spec)
    progress("making the virtual environment")
    await uv.run("venv", "--quiet", "--python", order.interpreter, "--relocatable", VENV)
    if order.spec.is_project:
        for path, _ in order.spec.files:
            if "/" not in path:
                shutil.copyfile(order.package / path, folder / path)
        await uv.run("sync", "--frozen", "--no-dev", "--no-install-project", "--python", f"{VENV}/bin/python")
        return
    spec, place = order.spec, order.package.resolve()
    lines = spec.lock if spec.lock is not None else (*spec.requirements, *spec.tools)
    if not lines:
        return
    how: tuple[str, ...] = ("--require-hashes",) if spec.lock is not None else ()
    if spec.constraints and spec.lock is None:
        _write(folder / "constraints.txt", spec.constraints)
        how = ("--constraint", "constraints.txt")
    _write(folder / "requirements.txt", [_located(line, place) for line in lines])
    await uv.run("pip", "install", "--python", f"{VENV}/bin/python", *how, "--requirement", "requirements.txt")


def _located(line: str, package: Path) -> str:
    return f"{package}/{line.removeprefix('./')}" if line.startswith("./") else line


def _write(file: Path, lines: Sequence[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class _Uv:
    """uv's runs for one build: in its folder, into its log."""

    def __init__(
        self, folder: Path, log: BinaryIO, sources: PackageSources, progress: Progress, spec: EnvironmentSpec
    ) -> None:
        self._folder = folder
        self._log = log
        self._variables = {**uv_variables(sources), "UV_PROJECT_ENVIRONMENT": str(folder / VENV)}
        self._progress = progress
        self._spec = spec

    async def run(self, *arguments: str) -> None:
        """Raises EnvironmentFailed when it does not end with 0."""
        self._log.write(f"$ uv {' '.join(arguments)}\n".encode())
        self._log.flush()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _ENDS_WITH_PARENT, str(os.getpid()), *command(*arguments)),
            cwd=self._folder,
            env=self._variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # A group of its own, so that what uv builds ends with it.
            start_new_session=True,
        )
        try:
            output = await self._follow(cast("asyncio.StreamReader", process.stdout))
            status = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if status:
            raise EnvironmentFailed(failure_sentence(output, self._spec.lock or self._spec.requirements))

    async def _follow(self, stream: asyncio.StreamReader) -> str:
        """Keep what it prints in the log, tell each line, and give back the end of it all."""
        output, held = "", b""
        while chunk := await stream.read(_READ_BYTES):
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                output += self._take(line)
            output = output[-_OUTPUT_LENGTH_MAX:]
            self._log.flush()
        return output + self._take(held)

    def _take(self, line: bytes) -> str:
        text = without_credentials(line.decode(errors="replace"))
        if text.strip():
            self._log.write(f"{text}\n".encode())
            if not text.startswith(_DONE_MARKS):
                self._progress(text.strip())
        return f"{text}\n"
