"""The real processes that the story plays on: ``servery up`` in a home of its own, and a look at its workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from servery.cli.addresses import free_port
from servery.client.transport import Transport
from servery.clock import Clock
from servery.errors import RemoteError, SetupError

_START_SECONDS = 60.0
_STOP_SECONDS = 90.0
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything runs; ``pid`` is that of ``servery up``."""

    home: Path
    server: str
    gateway: str
    pid: int


@contextmanager
def folder_for(home: Path | None, *, keep: bool) -> Iterator[Path]:
    """The home that was asked for, or a new one that goes again unless it is to be kept."""
    if home is not None:
        yield home.expanduser()
        return
    made = Path(tempfile.mkdtemp(prefix="servery-quickstart-"))
    try:
        yield made
    finally:
        if not keep:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def stage(home: Path, clock: Clock, *, keep: bool) -> Iterator[Stage]:
    """``servery up`` on free ports, ended again unless it is to be kept.

    Raises:
        SetupError: it did not start; its own words are the reason.
    """
    from servery.config import prepare_home, url_of

    prepare_home(home)
    port, gateway_port = free_port(), free_port()
    command = [sys.executable, "-m", "servery.cli.main", "up", "--home", str(home), "--host", _HOST]
    command += ["--port", str(port), "--gateway-port", str(gateway_port), "--grpc-port", "0"]
    command += [] if keep else ["--with-parent"]
    log = home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    staged = Stage(home, url_of(_HOST, port), url_of(_HOST, gateway_port), process.pid)
    kept = False
    try:
        _wait(process, staged, log, clock)
        yield staged
        kept = keep
    finally:
        if not kept:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], staged: Stage, log: Path, clock: Clock) -> None:
    deadline, pause = clock.monotonic() + _START_SECONDS, Event()
    for url, path in ((staged.server, "/health"), (staged.gateway, "/livez")):
        transport = Transport(url, timeout_seconds=2.0, advice="it is starting")
        while True:
            if process.poll() is not None or clock.monotonic() > deadline:
                words = log.read_text(errors="replace").strip().splitlines()
                raise SetupError(f"'servery up' did not start: {words[-1] if words else 'it said nothing'}")
            try:
                transport.send("GET", path)
                break
            except RemoteError:
                pause.wait(0.05)
        transport.close()


def worker_pids(ancestor: int) -> list[int]:
    """The workers among the descendants of a process, the oldest first."""
    parents: dict[int, int] = {}
    commands: dict[int, bytes] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold anything; the parent's number is the second word after the last one.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(entry.name)] = (entry / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue  # It has just ended.
    return sorted(
        pid for pid, command in commands.items() if b"servery_worker" in command and _descends(pid, ancestor, parents)
    )


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid == ancestor:
            return True
    return False


def kill_worker(ancestor: int) -> int:
    """SIGKILL for one worker; its process id.

    Raises:
        SetupError: there is none.
    """
    pids = worker_pids(ancestor)
    if not pids:
        raise SetupError("No worker was found to be killed.")
    os.kill(pids[-1], signal.SIGKILL)
    return pids[-1]
