"""Keep a few child processes alive until told to stop, then end them one after the other.

A child that dies is started again, at first at once and then ever more slowly. Children are in sessions of their
own: Ctrl-C reaches this process only, so that it is the one who decides in which order they end.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from servery.errors import SetupError

_BACKOFF_SECONDS = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS = 30.0
"""A child that has lived this long is started at once again."""


@dataclass(frozen=True, slots=True)
class Child:
    """A ``servery`` process: its name, its arguments, where it answers when it is ready."""

    name: str
    arguments: Sequence[str]
    ready_url: str
    ready_timeout_seconds: float = 60.0
    end_timeout_seconds: float = 45.0


class Supervisor:
    """Children are started in order, each as soon as the one before listens, and ended in the opposite order."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        self._children = children
        self._say = say
        self._stop = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT; a second one ends the children at once.

        Raises:
            SetupError: a child did not become ready the first time; nothing is left running.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        running: list[_Running] = []
        try:
            for child in self._children:
                started = _Running(child, await _start(child))
                running.append(started)
                # What calls the one before waits in its queue from here on, and is answered once it is ready.
                if not await self._unless_stopped(started.until_listening()):
                    return
            if not await self._unless_stopped(_until_all_ready(running)):
                return
            on_ready()
            keepers = [asyncio.create_task(self._keep(one)) for one in running]
            await self._stop.wait()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
        finally:
            self._stop.clear()  # From here on a second signal means: at once.
            for one in reversed(running):
                await self._unless_stopped(one.end(), otherwise=one.kill)

    def _on_signal(self) -> None:
        self._stop.set()

    async def _unless_stopped(self, work: Awaitable[None], otherwise: Callable[[], None] | None = None) -> bool:
        """Wait for ``work`` or for a signal; whether the work was done."""
        working = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if working.done():
            working.result()
            return True
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        if otherwise is not None:
            otherwise()
        return False

    async def _keep(self, one: _Running) -> None:
        """Start the child again whenever it ends."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started_at = loop.time()
            status = await one.process.wait()
            failures = 1 if loop.time() - started_at > _STEADY_SECONDS else failures + 1
            pause_seconds = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS)) - 1]
            self._say(f"The {one.child.name} ended {_how(status)}; starting it again in {pause_seconds:g} s.")
            await asyncio.sleep(pause_seconds)
            one.process = await _start(one.child)


class _Running:
    """A child and its current process."""

    def __init__(self, child: Child, process: asyncio.subprocess.Process) -> None:
        self.child = child
        self.process = process

    async def until_listening(self) -> None:
        """Its port takes connections. Raises SetupError when it ends instead, or when that takes too long."""
        address = urlsplit(self.child.ready_url)

        async def is_listening() -> bool:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(address.hostname, address.port)
                writer.close()
                return True
            return False

        await self._until(is_listening)

    async def until_ready(self) -> None:
        """It answers. Raises SetupError as :meth:`until_listening`."""
        import httpx

        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as connections:

            async def is_ready() -> bool:
                with suppress(httpx.TransportError):
                    return (await connections.get(self.child.ready_url)).is_success
                return False

            await self._until(is_ready)

    async def _until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.child.ready_timeout_seconds
        while self.process.returncode is None and loop.time() < deadline:
            if await condition():
                return
            await asyncio.sleep(0.02)
        if self.process.returncode is None:
            raise SetupError(f"The {self.child.name} did not answer in {self.child.ready_timeout_seconds:g} s.")
        raise SetupError(f"The {self.child.name} ended {_how(self.process.returncode)} instead of starting.")

    async def end(self) -> None:
        """SIGTERM, time to drain, then SIGKILL."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), self.child.end_timeout_seconds)
            except TimeoutError:
                self.kill()
        await self.process.wait()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


async def _until_all_ready(running: Sequence[_Running]) -> None:
    waits = [asyncio.ensure_future(one.until_ready()) for one in running]
    try:
        await asyncio.gather(*waits)
    finally:
        for wait in waits:  # The first one that fails ends them all.
            wait.cancel()


async def _start(child: Child) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", "servery.cli.main", *child.arguments, "--with-parent")
    return await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True)


def _how(status: int) -> str:
    return f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
