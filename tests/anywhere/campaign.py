"""``make import-campaign``: 20 models of 5 versions come from a real MLflow server; status 1 if anything differs.

Once in one go, once from a server that asks for a password, and in rounds: killed (``kill -9``) at random moments that
are drawn over the time that the import in one go took, and started again until it ends. Then everything of both sides
is compared, each version is asked, and the databases must be the same but for the times of their writing. Fewer kills
of a running import than were asked for are a problem, too.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from tests.anywhere.both_sides import Target, differences, imported_answers, original_answers, target_server
from tests.anywhere.places import PASSWORD, Place, client_of, fill, mlflow_server

MODELS, VERSIONS = 20, 5
KILLS = 12
"""How many times a running import is killed, over all rounds."""
KILL_SHARES = (0.05, 0.9)
"""A kill comes after such a share of a whole import's time: while it starts, plans, fetches, uploads or publishes."""


def main() -> int:
    console = Console(width=120)
    seed = random.SystemRandom().randrange(1 << 32)
    console.print(f"seed {seed}")
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="servery-import-") as scratch:
        folder = Path(scratch)
        with mlflow_server(folder / "mlflow") as place, target_server(folder / "whole") as whole:
            with client_of(place) as client:
                fill(client, [f"model-{number:02}" for number in range(MODELS)], VERSIONS, folder)
            console.print(f"the MLflow server has {MODELS} models of {VERSIONS} versions")
            seconds, found = _in_one_go(console, place, whole)
            problems += found + _compared(console, place, whole)
            with mlflow_server(folder / "mlflow", password=True) as guarded, target_server(folder / "own") as own:
                problems += guarded_import(console, guarded, own)
            problems += _killed(console, place, whole, folder, random.Random(seed), seconds)
    for problem in problems:
        console.print(problem, style="red")
    console.print("all held" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def _in_one_go(console: Console, place: Place, target: Target) -> tuple[float, list[str]]:
    """How long an import takes that nothing disturbs; and what is wrong with it, and with two more."""
    started = time.monotonic()
    first = target.command("import", environment=place.environment)
    seconds = time.monotonic() - started
    console.print(f"in one go: {seconds:.1f} s; {(first.stdout.splitlines() or [first.stderr])[-1]}")
    problems = [] if first.returncode == 0 else [first.stderr]
    for arguments in ((), ("--verify",)):
        before, started = target.rows(), time.monotonic()
        counts = target.report(*arguments, environment=place.environment)["counts"]
        same = target.rows() == before
        console.print(f"again {' '.join(arguments)}: {time.monotonic() - started:.1f} s; {counts}; rows equal: {same}")
        if counts["same"] != MODELS * VERSIONS or counts["changes"] or not same:
            problems.append("a second import changed something")
    return seconds, problems


def _compared(console: Console, place: Place, target: Target) -> list[str]:
    """Everything that the MLflow server has, and every version's answers, against what was imported."""
    with client_of(place) as client:
        answers, found = original_answers(client), imported_answers(target)
        equal = sum(found.get(version) == answer for version, answer in answers.items())
        console.print(f"{equal} of {len(answers)} imported versions answer as the original")
        return ([] if found == answers else ["an imported version answers otherwise"]) + differences(
            client, target, place
        )


def guarded_import(console: Console, guarded: Place, target: Target) -> list[str]:
    """One model, with the password; then without it and with a wrong one."""
    done = target.command("import", "model-00", environment=guarded.environment)
    console.print(f"with the password: {(done.stdout.splitlines() or [done.stderr])[-1]}")
    problems = [] if done.returncode == 0 and target.count_versions() == VERSIONS else [done.stderr]
    if PASSWORD in "\n".join(target.rows()) + done.stdout + done.stderr:
        problems.append("the password is told")
    address = guarded.url.replace("://", "://admin:wrong-word@")
    for environment in ({"MLFLOW_TRACKING_URI": guarded.url}, {"MLFLOW_TRACKING_URI": address}):
        refused = target.command("import", environment=environment)
        if "refuses this caller (401)" not in refused.stderr or "wrong-word" in refused.stderr:
            problems.append(refused.stderr)
        console.print(f"without it: {refused.stderr.strip()}")
    return problems


def _killed(
    console: Console, place: Place, whole: Target, folder: Path, moments: random.Random, seconds: float
) -> list[str]:
    """Rounds until a running import was killed ``KILLS`` times; each begins with an empty registry."""
    kills, problems = 0, list[str]()
    for number in range(1, KILLS + 1):
        if kills >= KILLS:
            break
        with target_server(folder / f"killed-{number}") as target:
            shares = (moments.uniform(*KILL_SHARES) for _ in range(KILLS - kills))
            hit, found = _round(console, place, target, [share * seconds for share in shares])
            console.print(f"round {number}: after {hit} kills it came to its end")
            kills, problems = kills + hit, problems + found + _compared(console, place, target)
            if _timeless(whole) != _timeless(target):
                problems.append(f"round {number}: the database is not that of an import in one go")
    console.print(f"{kills} of {KILLS} kills hit a running import")
    if kills < KILLS:
        problems.append(f"only {kills} of {KILLS} kills hit a running import")
    return problems


def _round(console: Console, place: Place, target: Target, moments: Iterable[float]) -> tuple[int, list[str]]:
    """An import that is killed at each of the ``moments`` after a start, until it is done before; how many hit it."""
    kills, seen, problems = 0, 0, list[str]()
    for moment in moments:
        process = target.start("import", environment=place.environment)
        try:
            process.wait(moment)
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:
                break  # It ended by itself in the moment between.
        kills += 1
        count = target.count_versions()
        console.print(f"kill after {moment:.2f} s: {count} versions are there")
        if count < seen:
            problems.append(f"there were {count} versions after a kill, {seen} before")
        seen = count
    last = target.report(environment=place.environment)["counts"]
    console.print(f"then: {last}")
    left = [path.name for path in (target.client_home / "imports").iterdir() if path.is_dir()]
    if left:
        problems.append(f"the kills left {left}")
    if last["failed"] or last["same"] + last["imported"] != MODELS * VERSIONS:
        problems.append("what was killed did not come to its end")
    return kills, problems


def _timeless(target: Target) -> list[str]:
    """All rows, without the times at which they were written and without ids that follow from their order."""
    return sorted(re.sub(r"\b1[0-9]{12}\b", "<time>", row) for row in target.rows())


if __name__ == "__main__":
    sys.exit(main())
