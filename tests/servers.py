"""Real server processes for tests, started as a user starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, *, timeout_seconds: float = 30) -> None:
    """Poll for a condition; fail with ``what`` when it does not come true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s: {what}")
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Server:
    """A ``servery`` process and the port that it answers on."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.log.read_text()}")
        try:
            return httpx.get(f"{self.url}/ping", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def workers(self) -> list[psutil.Process]:
        """The worker processes below this server, however deep."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in children if "servery_worker" in " ".join(child.cmdline())]
        except psutil.NoSuchProcess:
            return []

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def servery_process(
    *arguments: str, port: int, log: Path, environment: dict[str, str] | None = None, interpreter: str = sys.executable
) -> Iterator[Server]:
    """Run ``servery ARGUMENTS`` until the block ends; the caller waits for readiness."""
    command = [interpreter, "-m", "servery.cli.main", *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **(environment or {})}, start_new_session=True
        )
    try:
        yield Server(process, port, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def serving(
    folder: Path,
    home: Path,
    *,
    workers: int = 1,
    settings: Mapping[str, object] | None = None,
    variables: Mapping[str, str] | None = None,
    interpreter: str = sys.executable,
    start_seconds: float = START_SECONDS,
) -> Iterator[Server]:
    """``servery serve FOLDER``, ready. ``settings`` are given as environment variables, beside ``variables``."""
    port = free_port()
    environment = {f"SERVERY_{key.upper()}": str(value) for key, value in (settings or {}).items()} | dict(
        variables or {}
    )
    arguments = ("serve", str(folder), "-p", str(port), "--workers", str(workers), "--home", str(home))
    log = home.parent / f"{home.name}.log"
    with servery_process(*arguments, port=port, log=log, environment=environment, interpreter=interpreter) as server:
        wait_until(server.is_ready, "servery serve is ready", timeout_seconds=start_seconds)
        yield server


@dataclass(frozen=True, slots=True)
class Both:
    """``servery up``: a control plane and its gateway."""

    up: Server
    gateway_port: int
    home: Path

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    def child(self, role: str) -> psutil.Process | None:
        """The process of ``servery control`` or ``servery gateway`` below ``up``, when one runs."""
        for child in psutil.Process(self.up.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if role in child.cmdline():
                    return child
        return None


@contextmanager
def both_planes(
    home: Path, *, settings: Mapping[str, object] | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[Both]:
    """``servery up`` on free ports, ready."""
    port, gateway_port = free_port(), free_port()
    environment = {f"SERVERY_{key.upper()}": str(value) for key, value in (settings or {}).items()} | dict(
        variables or {}
    )
    arguments = ("up", "--port", str(port), "--gateway-port", str(gateway_port), "--home", str(home))
    log = home.parent / f"{home.name}.log"
    with servery_process(*arguments, port=port, log=log, environment=environment) as up:
        gateway = Server(up.process, gateway_port, log)
        wait_until(
            lambda: answers(f"{up.url}/health") and gateway.is_ready(),
            "servery up is ready",
            timeout_seconds=START_SECONDS,
        )
        yield Both(up, gateway_port, home)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
