"""Processes that want the environment of a package, as servers do, and tell what they do."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

MAKING = "making the virtual environment"
"""What the one process says that makes it."""
LINE_SECONDS = 60

_PROGRAM = """
import asyncio, sys
from pathlib import Path
from servery.clock import SystemClock
from servery.config import EnvManager, package_sources
from servery.workers.environments.store import Environments

async def main(home, package):
    made = Environments(Path(home), EnvManager.UV, package_sources(), SystemClock(), build_timeout_seconds=60)
    mlmodel = {"flavors": {"python_function": {"loader_module": "mlflow.sklearn"}}}
    lease = await made.lease(Path(package), mlmodel, lambda text: print(text, flush=True))
    print("has", lease.interpreter, flush=True)
    if sys.stdin.readline():
        lease.close()

asyncio.run(main(*sys.argv[1:]))
"""


class Leaser:
    """A process that leases the environment of the package in ``folder`` and holds it until ``end``."""

    def __init__(self, home: Path, folder: Path, variables: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(home), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(variables),
            text=True,
        )
        self.said: list[str] = []
        """So far, line by line."""
        self._unread: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def interpreter(self) -> str | None:
        """That of the environment, once it has it."""
        return next((line.removeprefix("has ") for line in self.said if line.startswith("has ")), None)

    def line(self) -> str:
        """The next line that it says; nothing when it has ended."""
        return self._unread.get(timeout=LINE_SECONDS)

    def lines(self) -> list[str]:
        """All that it says until it has the environment, or has ended."""
        found = [self.line()]
        while found[-1] and not found[-1].startswith("has "):
            found.append(self.line())
        return found

    def kill(self) -> int:
        """End it with SIGKILL; the status that it ended with, and ``said`` is all that it said."""
        self.process.kill()
        return self._over()

    def end(self) -> int:
        """Have it let go of the environment and end."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._over()

    def _over(self) -> int:
        status = self.process.wait(timeout=LINE_SECONDS)
        self._reader.join(timeout=LINE_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            self._unread.put(self.said[-1])
        self._unread.put("")
