"""``make environment-campaign``: builds of a real environment are killed at random moments; status 1 if a rule breaks.

uv builds it of packages of the index, from a cache that the first build has filled. A build that nothing disturbs is
measured, and the moments of the kills (``kill -9``) are drawn over its time. In every second turn several want
the environment: the one that makes it is killed, and each of the others by chance. After a kill whatever is there as an
environment must be whole, and so must what a process is handed out that was waiting, or that comes next.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from servery.clock import SystemClock
from servery.config import EnvManager, package_sources
from servery.workers.environments.store import Environments
from tests.leasers import MAKING, Leaser
from tests.servers import wait_until

KILLS = 40
TURNS_MAX = 3 * KILLS
"""A kill that comes when the build is over is none; its turn is one more."""
REQUIREMENTS = ("cloudpickle==3.1.1", "httpx==0.28.1", "pandas==2.2.3", "pyyaml==6.0.2")
MODULES = ("cloudpickle", "httpx", "numpy", "pandas", "yaml")
MEASURED = 5
CROWD = (2, 5)
LOOK = """
import base64, hashlib, importlib, json, sys
from importlib import metadata

wrong, names = [], []
for one in metadata.distributions():
    names.append(f"{one.metadata['Name'].lower()}=={one.version}")
    wrong += [] if one.files else [f"{names[-1]} has no RECORD"]
    for file in one.files or ():
        if not file.locate().is_file():
            wrong.append(f"{file} of {names[-1]} is missing")
        elif file.hash is not None:
            digest = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()
            if base64.urlsafe_b64encode(digest).decode().rstrip("=") != file.hash.value:
                wrong.append(f"{file} of {names[-1]} is not what was recorded")
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps([sorted(names), wrong]))
"""


@dataclass
class Campaign:
    """One package whose environment is made below ``home`` again and again."""

    home: Path
    package: Path
    variables: Mapping[str, str]
    moments: random.Random
    names: Sequence[str] = ()
    """The distributions that a whole environment has."""
    build_seconds: float = 0.0
    kills: int = 0
    turns: int = 0
    said_last: Counter[str] = field(default_factory=Counter)
    """In which step of the build the kills came."""
    found_whole: int = 0
    """How many environments were there right after a kill."""
    taken_over: int = 0
    """How many processes that waited for a killed one got the environment."""
    problems: list[str] = field(default_factory=list)

    def fill_and_measure(self) -> list[float]:
        """Build it once from the index, then from the cache; how long the builds took, from uv's start to the lease."""
        found = []
        for number in range(MEASURED + 1):
            leaser = self._leaser(offline="0" if number == 0 else "1")
            while leaser.line() != MAKING:
                pass
            started = time.monotonic()
            said = leaser.lines()
            found.append(time.monotonic() - started)
            assert leaser.interpreter is not None, said
            names, wrong = _look(leaser.interpreter)
            assert (wrong, self.names or names) == ([], names)
            self.names = names
            leaser.end()
            self._store().prune()
        self.build_seconds = sorted(found[1:])[MEASURED // 2]
        return found

    def turn(self) -> None:
        """Kill a build, look, and have it built."""
        self.turns += 1
        count = self.moments.randint(*CROWD) if self.turns % 2 == 0 else 1
        leasers = [self._leaser() for _ in range(count)]
        wait_until(lambda: any(MAKING in one.said for one in leasers), "one of them makes it")
        time.sleep(self.moments.random() * self.build_seconds)
        makers = [one for one in leasers if MAKING in one.said]
        others = [one for one in leasers if one not in makers]
        victims = makers + [one for one in others if self.moments.random() < 0.5]
        for victim in victims:
            victim.process.kill()
        hit = [one for one in makers if one.kill() != 0 and one.interpreter is None]
        for record in self._store().records():
            self.found_whole += 1
            self._expect_whole(str(self.home / record.digest / "venv/bin/python"), "what lies there after a kill")
        if hit:
            self.kills += 1
            self.said_last[_step(hit[0].said[-1])] += 1
        for left in [one for one in leasers if one not in victims]:
            self._expect_lease(left, "a process that waited")
            self.taken_over += bool(hit)
        for victim in victims:
            if victim not in makers:
                victim.kill()
        self._expect_lease(self._leaser(), "the next process")
        self._expect_nothing_left()

    def _expect_lease(self, leaser: Leaser, who: str) -> None:
        leaser.lines()
        if leaser.interpreter is None:
            self.problems.append(f"turn {self.turns}: {who} got no environment: {leaser.said[-3:]}")
        else:
            self._expect_whole(leaser.interpreter, f"what {who} got")
        leaser.end()

    def _expect_whole(self, interpreter: str, what: str) -> None:
        try:
            names, wrong = _look(interpreter)
        except subprocess.CalledProcessError as error:
            names, wrong = (), [error.stderr.strip().splitlines()[-1]]
        if names != self.names or wrong:
            self.problems.append(f"turn {self.turns}: {what} is not whole: {names}, {wrong[:5]}")

    def _expect_nothing_left(self) -> None:
        """One environment besides the locks; and nothing but those when it is removed."""
        found = self._in_home()
        removed = [record.digest for record in self._store().prune()]
        if len(removed) != 1 or found != removed or self._in_home():
            self.problems.append(f"turn {self.turns}: there were {found}, and {self._in_home()} without {removed}")

    def _in_home(self) -> list[str]:
        return [path.name for path in self.home.iterdir() if path.suffix != ".lock"]

    def _leaser(self, *, offline: str = "1") -> Leaser:
        return Leaser(self.home, self.package, {**self.variables, "UV_OFFLINE": offline})

    def _store(self) -> Environments:
        sources = package_sources(self.variables)
        return Environments(self.home, EnvManager.UV, sources, SystemClock(), build_timeout_seconds=60)


def _look(interpreter: str) -> tuple[Sequence[str], list[str]]:
    """The distributions of an environment, and what is wrong with their files; raises where a module cannot be had."""
    command = [interpreter, "-I", "-B", "-c", LOOK, *MODULES]
    names, wrong = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return names, wrong


def _step(line: str) -> str:
    """Of what the killed process said last, the first word: ``Resolved 12 packages in 8ms`` tells where uv was."""
    return "making" if line == MAKING else line.split(maxsplit=1)[0].lower()


def main() -> int:
    console = Console(width=120)
    seed = random.SystemRandom().randrange(1 << 32)
    console.print(f"seed {seed}; Python {platform.python_version()}, {', '.join(REQUIREMENTS)}")
    with tempfile.TemporaryDirectory(prefix="servery-environments-") as scratch:
        folder = Path(scratch)
        (folder / "model").mkdir()
        (folder / "model" / "requirements.txt").write_text("".join(f"{line}\n" for line in REQUIREMENTS))
        variables = {**os.environ, "UV_CACHE_DIR": str(folder / "cache")}
        campaign = Campaign(folder / "environments", folder / "model", variables, random.Random(seed))
        first, *others = campaign.fill_and_measure()
        console.print(f"from the index {first:.2f} s; from the cache {', '.join(f'{one:.2f}' for one in others)} s")
        while campaign.kills < KILLS and campaign.turns < TURNS_MAX:
            campaign.turn()
    console.print(f"{campaign.kills} of {KILLS} kills hit a running build, in {campaign.turns} turns")
    console.print(f"what the killed builds had said last: {dict(campaign.said_last)}")
    console.print(f"{campaign.found_whole} environments were there right after a kill")
    console.print(f"{campaign.taken_over} processes that waited for a killed one got the environment")
    if campaign.kills < KILLS:
        campaign.problems.append(f"only {campaign.kills} of {KILLS} kills hit a running build")
    for problem in campaign.problems:
        console.print(problem, style="red")
    console.print("all held" if not campaign.problems else f"{len(campaign.problems)} problems")
    return 1 if campaign.problems else 0


if __name__ == "__main__":
    sys.exit(main())
