"""A worker's process: started with one end of a socket pair, its prints kept in a log file, ended for certain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

import servery_worker
from servery.workers.environments.variables import Launch

_GUEST = Path(servery_worker.__file__).with_name("__main__.py")
_SOCKET_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Process:
    """A running worker process and the host's end of its socket."""

    handle: asyncio.subprocess.Process
    connection: socket.socket

    @property
    def pid(self) -> int:
        return self.handle.pid

    def kill(self) -> None:
        """SIGKILL for it and for what the model has started; nothing happens when all have ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """To the worker alone; nothing happens when it has ended already."""
        with contextlib.suppress(ProcessLookupError):
            self.handle.send_signal(number)

    async def wait(self) -> int:
        """Its exit status; negative when a signal ended it."""
        return await self.handle.wait()


async def start_process(launch: Launch, *, title: str, log: Path) -> Process:
    """Start a guest; ``title`` is shown by ``ps``, and what the model prints is appended to ``log``.

    Raises:
        OSError: the interpreter cannot be started, or the machine has no process or file left.
    """
    ours, theirs = socket.socketpair()
    try:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        ours.setblocking(False)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            handle = await asyncio.create_subprocess_exec(
                launch.interpreter,
                "-I",
                str(_GUEST),
                str(theirs.fileno()),
                title,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(launch.variables),
                cwd=launch.directory,
                pass_fds=(theirs.fileno(),),
                # A Ctrl-C at the terminal goes to the gateway alone, which lets its workers finish. The worker leads
                # a group of its own, which ends as a whole.
                start_new_session=True,
            )
        finally:
            os.close(output)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Process(handle, ours)
