"""The worker of the package that is checked: started, asked and ended as a gateway does it, and watched besides."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from servery.check.processes import Usage, processes_at, usage
from servery.check.traces import Scratch, Traces, printed_bytes, read_traces, where_it_is
from servery.clock import Clock
from servery.workers.environments.variables import launch
from servery.workers.request import Answer, Request
from servery.workers.worker import Worker, WorkerFailed, WorkerState
from servery_worker.wire import Asked, MediaType

_LOG_BYTES_MAX = 32 << 20
_LOOK_SECONDS = 0.2
"""How often a worker that is waited for is looked at."""
_EXIT_SECONDS = 0.5
_STACK_SECONDS = 0.5
_LAST_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Package:
    """What is checked, once its files are known."""

    folder: Path
    mlmodel: Mapping[str, Any]
    files: Mapping[str, str]
    """SHA-256 by path."""


class NoAnswer(Exception):
    """The worker did not answer: it hangs or has ended. ``str()`` says so, as part of a sentence."""

    def __init__(self, text: str, *, hung: bool) -> None:
        super().__init__(text)
        self.hung = hung


class Subject:
    """One package's workers, one at a time, in folders of their own below ``scratch``.

    ``start`` before ``ask``; after a NoAnswer it has to be started again. ``stop`` leaves no process behind.
    """

    def __init__(
        self,
        package: Package,
        scratch: Scratch,
        clock: Clock,
        *,
        interpreter: str,
        server_variables: Mapping[str, str],
        own_variables: Mapping[str, str],
    ) -> None:
        self.survivors = 0
        """Processes that outlived the worker that they come from."""
        self._package = package
        self._scratch = scratch
        self._clock = clock
        own = {**own_variables, "HOME": str(scratch.home), "TMPDIR": str(scratch.temporary)}
        start = launch(interpreter, server_variables, own, replicas=1)
        self._launch = type(start)(start.interpreter, start.variables, scratch.working)
        self._worker: Worker | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._number = 0
        self._printed_before = 0

    @property
    def batchable(self) -> bool:
        return self._worker is not None and self._worker.batchable

    @property
    def facts(self) -> Mapping[str, object]:
        return {} if self._worker is None else self._worker.facts

    @property
    def printed_bytes(self) -> int:
        """What has been printed so far, by all workers."""
        return self._printed_before + printed_bytes(self._scratch)

    @property
    def traces(self) -> Traces:
        return read_traces(self._scratch, self._package.folder)

    def usage(self) -> Usage:
        pid = self._worker.pid if self._worker is not None else None
        return usage(pid or 0, self._scratch.home)

    def printed(self) -> str:
        """The last lines that were printed."""
        with suppress(OSError), self._scratch.log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_LINE_BYTES))
            return file.read().decode(errors="replace")
        return ""

    async def start(
        self, *, timeout_seconds: float, prove: bool = True, neighbours: bool = True, hidden: Sequence[str] = ()
    ) -> float:
        """Start a worker and have it load; how many seconds that took.

        Raises:
            WorkerFailed: it did not; the cause says where a hanging one stands, and what an ended one printed last.
        """
        await self.stop()
        worker = Worker(clock=self._clock, on_idle=lambda _: None, on_lost=lambda *_: self._lost.set())
        self._lost.clear()
        self._scratch.stack.unlink(missing_ok=True)
        order = {
            "directory": str(self._package.folder),
            "mlmodel": self._package.mlmodel,
            "files": self._package.files,
            "watch": str(self._scratch.events),
            "prove": prove,
            "neighbours": neighbours,
            "load_seconds": timeout_seconds,
            "hidden": list(hidden),
        }
        started = self._clock.monotonic()
        looking = asyncio.ensure_future(self._look(worker, started + timeout_seconds))
        try:
            await worker.start(
                self._launch,
                msgspec.json.encode(order),
                title="check",
                log=self._scratch.log,
                timeout_seconds=timeout_seconds,
            )
        except WorkerFailed as error:
            self._sweep(worker)
            raise WorkerFailed(self._explained(str(error)), ended=error.ended) from None
        finally:
            looking.cancel()
        self._worker = worker
        return self._clock.monotonic() - started

    async def ask(self, bodies: Sequence[bytes], *, timeout_seconds: float) -> list[Answer]:
        """The answers to requests that are sent together.

        Raises:
            NoAnswer: they did not come in time, or the worker ended. It is gone then.
        """
        worker = self._worker
        if worker is None or worker.state is not WorkerState.IDLE:
            raise NoAnswer("its worker has ended", hung=False)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answers: list[Answer] = []

        def take(_request: Request, answer: Answer) -> None:
            answers.append(answer)
            if len(answers) == len(bodies) and not done.done():
                done.set_result(None)

        worker.send([self._request(body, timeout_seconds, take) for body in bodies])
        await self._wait(worker, done, timeout_seconds)
        return answers

    async def stop(self) -> None:
        """End the worker, and whatever it started."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(timeout_seconds=2.0)
        self._sweep(worker)

    def _request(self, body: bytes, timeout_seconds: float, take: Callable[[Request, Answer], None]) -> Request:
        self._number += 1
        return Request(
            Asked(MediaType.JSON, body),
            number=self._number,
            arrived=self._clock.monotonic(),
            timeout_seconds=timeout_seconds,
            on_answer=take,
            on_refusal=lambda *_: None,
        )

    async def _wait(self, worker: Worker, done: asyncio.Future[None], timeout_seconds: float) -> None:
        deadline = self._clock.monotonic() + timeout_seconds
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            while not done.done():
                left = deadline - self._clock.monotonic()
                if lost.done():
                    raise NoAnswer(await self._how_it_ended(worker), hung=False)
                if left <= 0:
                    where = await self._where(worker)
                    raise NoAnswer(f"no answer came within {timeout_seconds:g} s{where}", hung=True)
                self._cap_log()
                waiting: list[asyncio.Future[Any]] = [done, lost]
                await asyncio.wait(waiting, timeout=min(left, _LOOK_SECONDS), return_when="FIRST_COMPLETED")
        except NoAnswer:
            self._worker = None
            worker.kill()
            await worker.stop(timeout_seconds=0)
            self._sweep(worker)
            raise
        finally:
            lost.cancel()

    async def _how_it_ended(self, worker: Worker) -> str:
        deadline = self._clock.monotonic() + _EXIT_SECONDS
        while worker.exit_status is None and self._clock.monotonic() < deadline:  # noqa: ASYNC110 - no event tells it.
            await asyncio.sleep(0.01)
        status = worker.exit_status
        if status is None:
            return "its worker closed the connection"
        how = f"status {status}" if status >= 0 else f"signal {-status} ({_signal_name(-status)})"
        return self._explained(f"its process ended with {how}")

    async def _where(self, worker: Worker) -> str:
        """Have it say where it stands; the end of a sentence."""
        if not self._scratch.stack.exists():
            return ""
        worker.signal(signal.SIGUSR2)
        await asyncio.sleep(_STACK_SECONDS)
        where = where_it_is(self._scratch)
        return f"; it stands in {where}" if where else ""

    async def _look(self, worker: Worker, deadline: float) -> None:
        """While it loads: keep its log within bounds; shortly before it is given up, have it say where it stands."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS / 4)
            self._cap_log()
            if self._clock.monotonic() > deadline - _STACK_SECONDS and self._scratch.stack.exists():
                worker.signal(signal.SIGUSR2)
                return

    def _explained(self, cause: str) -> str:
        if "was not ready within" in cause or "signal" in cause:
            where = where_it_is(self._scratch)
            return f"{cause}; it stood in {where}" if where else cause
        if "ended with status" in cause:
            last = [line for line in self.printed().splitlines() if line.strip()][-1:]
            return f"{cause}; it last printed: {last[0].strip()[:300]}" if last else cause
        return cause

    def _cap_log(self) -> None:
        size_bytes = printed_bytes(self._scratch)
        if size_bytes > _LOG_BYTES_MAX:
            with suppress(OSError):
                os.truncate(self._scratch.log, 0)
            self._printed_before += size_bytes

    def _sweep(self, worker: Worker | None) -> None:
        """End what outlived its worker. Its own group has been killed with it, and may take a moment to be gone."""
        for pid in list(processes_at(self._scratch.home)):
            with suppress(OSError):
                if worker is None or os.getpgid(pid) != worker.pid:
                    self.survivors += 1
                os.kill(pid, signal.SIGKILL)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
