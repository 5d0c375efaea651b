"""The servers under test. Each runs in processes of its own, on a free port of the loopback address, until the
``with`` block ends; before it is measured it must give the workload's right answer once.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

from bench.models import Workload

_START_SECONDS = 120.0
_END_SECONDS = 10.0
_POLL_SECONDS = 0.1


class ServerFailed(Exception):
    """A server did not start or answered wrongly. ``str(error)`` says why, with the end of its log."""


@dataclass(frozen=True, slots=True)
class Service:
    """A server that has proved that it answers ``body`` rightly."""

    name: str
    url: str
    body: Path
    process: subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the process that was started, and the sum over it and all its children; PSS shares shared pages out."""

    rss_bytes: int
    pss_bytes: int
    all_pss_bytes: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def floor(workload: Workload) -> Iterator[Service]:
    """The echo server of floor.py."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("floor.py")), str(port)]
    address = f"http://127.0.0.1:{port}"
    expected = orjson.loads(workload.body.read_bytes())
    with running("floor", command, address, "/", "/", workload.body, lambda answer: answer == expected) as service:
        yield service


@contextmanager
def servery(workload: Workload) -> Iterator[Service]:
    """``servery serve``, as a user starts it, with settings from nowhere else."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("servery")), "serve", str(workload.package), "-p", str(port)]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="servery-bench-") as home:
        own = {name: value for name, value in os.environ.items() if not name.startswith("SERVERY_")}
        right = scored(workload)
        environ = {**own, "SERVERY_HOME": home}
        with running("servery", command, address, "/ping", "/invocations", workload.body, right, environ) as service:
            yield service


def scored(workload: Workload) -> Callable[[Any], bool]:
    """Whether an answer of MLflow's scoring protocol holds the workload's predictions."""
    return lambda answer: bool(answer["predictions"] == workload.predictions)


@contextmanager
def running(
    name: str,
    command: list[str],
    address: str,
    health: str,
    path: str,
    body: Path,
    right: Callable[[Any], bool],
    environ: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Run ``command`` until the block ends: wait for ``health``, then demand the right answer to ``body``.

    Raises:
        ServerFailed: it ended, did not get ready in time, or answered wrongly.
    """
    with tempfile.TemporaryDirectory(prefix="servery-bench-") as folder, (Path(folder) / "log").open("w+b") as log:
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environ, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ServerFailed(f"{name} cannot be started: {error}.") from None
        try:
            _wait_until_ready(name, process, address + health)
            _prove(name, address + path, body, right)
            yield Service(name, address + path, body, process)
        except ServerFailed as error:
            end = Path(log.name).read_text(errors="replace").strip().splitlines()[-3:]
            raise ServerFailed(f"{error} Its log ends: {' / '.join(end) or '(nothing)'}") from None
        finally:
            _end(process)


def memory(pid: int) -> Memory:
    """What the process and its children use now.

    Raises:
        ServerFailed: one of them is gone.
    """
    try:
        own = _rollup(pid)
        children = sum(_rollup(child.pid)["Pss"] for child in psutil.Process(pid).children(recursive=True))
    except (OSError, KeyError, psutil.Error) as error:
        raise ServerFailed(f"A process of the server ended while it was measured: {error}.") from None
    return Memory(rss_bytes=own["Rss"], pss_bytes=own["Pss"], all_pss_bytes=own["Pss"] + children)


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def _wait_until_ready(name: str, process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerFailed(f"{name} ended with {process.returncode} before it was ready.")
        with suppress(httpx.TransportError):
            if httpx.get(url, timeout=2.0).status_code == 200:
                return
        time.sleep(_POLL_SECONDS)
    raise ServerFailed(f"{name} was not ready after {_START_SECONDS:.0f} s.")


def _prove(name: str, url: str, body: Path, right: Callable[[Any], bool]) -> None:
    try:
        answer = httpx.post(
            url, content=body.read_bytes(), headers={"Content-Type": "application/json"}, timeout=_START_SECONDS
        )
        if answer.status_code == 200 and right(answer.json()):
            return
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise ServerFailed(f"{name} gave no answer: {error}.") from None
    raise ServerFailed(f"{name} gave the wrong answer: {answer.status_code} {answer.text[:200]}.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, insist: of the whole session that was started here."""
    with suppress(ProcessLookupError):
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_END_SECONDS)
