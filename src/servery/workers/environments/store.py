"""The environments of a machine: made once, by whoever needs one first, and shared by all versions that need the same.

    environments/<digest>/                 an environment: put in place by one rename when it is whole
        venv/  environment.json  build.log
    environments/<digest>.lock             held alone by who makes or removes it, together by those that use it
    environments/<digest>.log              what the last try that failed printed
    environments/.building-<digest>-…      a try

A try that is killed leaves a folder that nobody looks into; the next try removes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import sysconfig
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from servery.clock import Clock
from servery.config import EnvManager, GatewayConfig, PackageSources, ServeConfig
from servery.errors import EnvironmentFailed, NotFound
from servery.package.requirements import EnvironmentSpec, read_spec
from servery.workers.environments.build import VENV, Order, Progress, build
from servery.workers.environments.interpreters import find_interpreter
from servery.workers.environments.local import first_unmet

_FORMAT = 1
"""Part of every digest: environments of another layout or other rules are made anew."""
_POLL_SECONDS = 0.05
_ABOUT_FILE = "environment.json"
_LOG_FILE = "build.log"
DIGEST_SHOWN = 16
LOG_BYTES_MAX = 256 << 10
"""How much of a build's log, from its end, is passed on."""


@dataclass(slots=True)
class Lease:
    """An interpreter to start workers with. Its environment stays until ``close``, unless it is our own."""

    interpreter: str
    about: str
    """Which environment it is, and why: what a person reads, the build's log included."""
    digest: str | None = None
    _lock: BinaryIO | None = field(default=None, repr=False)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """An environment on disk, for people."""

    digest: str
    python: str
    packages: tuple[str, ...]
    """``name==version`` of every distribution in it."""
    requirements: tuple[str, ...]
    created_at_ms: int
    used_at_ms: int
    size_bytes: int
    """Of its files; uv shares many of them with its cache, and with other environments."""
    is_used: bool
    """A process holds it now."""


class Environments:
    """The environments below ``folder``. For one event loop; any number of processes may share the folder."""

    def __init__(
        self, folder: Path, manager: EnvManager, sources: PackageSources, clock: Clock, *, build_timeout_seconds: float
    ) -> None:
        self._folder = folder
        self._manager = manager
        self._sources = sources
        self._clock = clock
        self._build_timeout_seconds = build_timeout_seconds

    async def lease(self, package: Path, mlmodel: Mapping[str, Any], progress: Progress = lambda _: None) -> Lease:
        """An environment for the package's workers; made first when it is not there yet.

        Raises:
            EnvironmentFailed: it cannot be made; the message says which requirement, and why.
            PackageInvalid: what the package asks for cannot be read.
            OSError: the folder cannot be written.
        """
        if self._manager is EnvManager.LOCAL:
            return _local("as --env-manager local asks")
        spec = await asyncio.to_thread(read_spec, package, mlmodel)
        unmet = "--env-manager uv asks for one of its own"
        if self._manager is EnvManager.AUTO:
            found = await asyncio.to_thread(first_unmet, spec)
            if found is None:
                return _local("which satisfies what it requires")
            unmet = found
        path, home = self._sources.variables.get("PATH", os.defpath), Path(self._sources.variables.get("HOME", "/"))
        try:
            interpreter, version = await asyncio.to_thread(find_interpreter, spec.python, path=path, home=home)
            progress(unmet)
            return await self._lease(Order(spec, package, interpreter), version, unmet, progress)
        except EnvironmentFailed as error:
            message = f"Its Python environment cannot be made: {error.message.rstrip('.')}."
            raise EnvironmentFailed(message, log=error.log) from None

    async def _lease(self, order: Order, version: str, unmet: str, progress: Progress) -> Lease:
        digest = _digest(order.spec, version)
        place = self._folder / digest
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self._folder / f"{digest}.lock").open("ab")
        try:
            async with asyncio.timeout(self._build_timeout_seconds):
                while not await self._take_shared(lock, place, progress):
                    await self._make(order, digest, version, progress)
        except TimeoutError:
            lock.close()
            seconds = self._build_timeout_seconds
            raise EnvironmentFailed(f"it was not made within {seconds:g} s (build_timeout_seconds)") from None
        except BaseException:
            lock.close()
            raise
        os.utime(lock.fileno())
        notes = "".join(f"{note}\n" for note in order.spec.notes)
        about = f"An environment of its own, {digest[:DIGEST_SHOWN]}, with Python {version}: {unmet}.\n{notes}"
        return Lease(str(place / VENV / "bin" / "python"), about + _tail(place / _LOG_FILE), digest, lock)

    async def _take_shared(self, lock: BinaryIO, place: Path, progress: Progress) -> bool:
        """Hold the environment against removal; False, and the lock held alone, when it has to be made."""
        while True:
            wanted = fcntl.LOCK_SH if _is_whole(place) else fcntl.LOCK_EX
            try:
                fcntl.flock(lock, wanted | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another process that makes the same environment")
                await asyncio.sleep(_POLL_SECONDS)
                continue
            # Another process may have made or removed it between the look and the lock.
            if _is_whole(place) is (wanted == fcntl.LOCK_SH):
                return wanted == fcntl.LOCK_SH
            fcntl.flock(lock, fcntl.LOCK_UN)

    async def _make(self, order: Order, digest: str, version: str, progress: Progress) -> None:
        """Called with the lock held alone."""
        place, failed = self._folder / digest, self._folder / f"{digest}.log"
        await asyncio.to_thread(self._clear, digest)
        staging = self._folder / f".building-{digest[:DIGEST_SHOWN]}-{uuid.uuid4().hex}"
        started = self._clock.monotonic()
        try:
            with failed.open("wb") as log:
                await build(order, staging / "uv", log, self._sources, progress)
                log.write(f"Made in {self._clock.monotonic() - started:.1f} s.\n".encode())
            (staging / "uv" / VENV).rename(staging / VENV)
            await asyncio.to_thread(shutil.rmtree, staging / "uv")
            failed.rename(staging / _LOG_FILE)
            about = {
                "python": version,
                "requirements": [*order.spec.requirements, *order.spec.constraints],
                "packages": _installed(staging / VENV),
                "created_at_ms": self._clock.now_ms(),
            }
            (staging / _ABOUT_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")
            # The last step, with nothing to tidy up after it: one that is killed then leaves the environment alone.
            staging.rename(place)
        except EnvironmentFailed as error:
            raise EnvironmentFailed(error.message, log=_tail(failed)) from None
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)

    def _clear(self, digest: str) -> None:
        """Remove what earlier tries left, and an environment that is no longer whole."""
        shutil.rmtree(self._folder / digest, ignore_errors=True)
        for left in self._folder.glob(f".building-{digest[:DIGEST_SHOWN]}-*"):
            shutil.rmtree(left, ignore_errors=True)

    # For people.

    def records(self) -> list[EnvironmentRecord]:
        """Every environment, the last used first. Blocking: it looks at each file."""
        found = [self._record(place) for place in self._folder.glob("*/") if (place / _ABOUT_FILE).is_file()]
        return sorted(found, key=lambda record: record.used_at_ms, reverse=True)

    def find(self, start: str) -> tuple[EnvironmentRecord, str]:
        """The one environment whose digest begins so, and its build's log.

        Raises:
            NotFound: there is none, or more than one.
        """
        found = [record for record in self.records() if start and record.digest.startswith(start)]
        if len(found) != 1:
            raise NotFound("Environment", start[:64])
        return found[0], _tail(self._folder / found[0].digest / _LOG_FILE)

    def prune(self, *, unused_seconds: float = 0.0, dry_run: bool = False) -> list[EnvironmentRecord]:
        """Remove the environments that no process uses, and that none has begun to use for so long. Blocking.

        What killed builds left goes, too. Gives back what was removed.
        """
        before_ms = self._clock.now_ms() - unused_seconds * 1000
        removed = []
        for record in self.records():
            if record.used_at_ms > before_ms or record.is_used:
                continue
            with self._held_alone(record.digest) as is_held:
                if is_held:
                    removed.append(record)
                    if not dry_run:
                        self._remove(record.digest)
        if not dry_run:
            for left in self._folder.glob(".building-*"):
                self._remove_left(left)
        return removed

    def _remove(self, digest: str) -> None:
        # Renamed first: whoever looks finds all of it or nothing.
        trash = self._folder / f".building-{digest[:DIGEST_SHOWN]}-{uuid.uuid4().hex}"
        (self._folder / digest).rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def _remove_left(self, left: Path) -> None:
        start = left.name.removeprefix(".building-").partition("-")[0]
        locks = [lock.stem for lock in self._folder.glob(f"{start}*.lock")]
        if all(self._is_free(digest) for digest in locks):
            shutil.rmtree(left, ignore_errors=True)

    def _record(self, place: Path) -> EnvironmentRecord:
        about = json.loads((place / _ABOUT_FILE).read_text(encoding="utf-8"))
        return EnvironmentRecord(
            digest=place.name,
            python=about["python"],
            packages=tuple(about["packages"]),
            requirements=tuple(about["requirements"]),
            created_at_ms=about["created_at_ms"],
            used_at_ms=int((self._folder / f"{place.name}.lock").stat().st_mtime * 1000),
            size_bytes=sum(file.lstat().st_size for file in place.rglob("*")),
            is_used=not self._is_free(place.name),
        )

    def _is_free(self, digest: str) -> bool:
        with self._held_alone(digest) as is_held:
            return is_held

    @contextlib.contextmanager
    def _held_alone(self, digest: str) -> Iterator[bool]:
        with (self._folder / f"{digest}.lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def environments_of(config: GatewayConfig | ServeConfig, sources: PackageSources, clock: Clock) -> Environments:
    """The environments of a gateway's home."""
    folder, seconds = config.home / "environments", config.build_timeout_seconds
    return Environments(folder, config.env_manager, sources, clock, build_timeout_seconds=seconds)


def _local(why: str) -> Lease:
    about = f"The environment of Servery itself, with Python {platform.python_version()}, {why}.\n"
    return Lease(sys.executable, about)


def _digest(spec: EnvironmentSpec, version: str) -> str:
    asked = {"format": _FORMAT, "platform": sysconfig.get_platform(), "python": version, **spec.identity()}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _is_whole(place: Path) -> bool:
    """It was put in place, and the interpreter that it is made from is still there."""
    return (place / _ABOUT_FILE).is_file() and os.access(place / VENV / "bin" / "python", os.X_OK)


def _installed(venv: Path) -> list[str]:
    names = (folder.name.removesuffix(".dist-info") for folder in venv.glob("lib/python*/site-packages/*.dist-info"))
    return sorted("==".join(name.rsplit("-", 1)).replace("_", "-") for name in names)


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES_MAX))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
