"""``make import-campaign``: 20 models of 5 versions come from a real MLflow server; status 1 if anything differs.

Once in one go, once from a server that asks for a password, and once killed (``kill -9``) at random moments and started
again until it ends. Then everything of both sides is compared, each version is asked, and both databases must be the
same but for the times of their writing.
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
from pathlib import Path

from rich.console import Console

from tests.anywhere.both_sides import Target, differences, imported_answers, original_answers, target_server
from tests.anywhere.places import PASSWORD, Place, client_of, fill, mlflow_server

MODELS, VERSIONS = 20, 5
KILLS = 12
KILL_SECONDS = (0.5, 20.0)
"""A kill comes this long after the start: while it plans, fetches, uploads or publishes."""


def main() -> int:
    console = Console(width=120)
    seed = random.SystemRandom().randrange(1 << 32)
    console.print(f"seed {seed}")
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="servery-import-") as scratch:
        folder = Path(scratch)
        with (
            mlflow_server(folder / "mlflow") as place,
            target_server(folder / "whole") as whole,
            target_server(folder / "killed") as killed,
        ):
            with client_of(place) as client:
                fill(client, [f"model-{number:02}" for number in range(MODELS)], VERSIONS, folder)
            console.print(f"the MLflow server has {MODELS} models of {VERSIONS} versions")
            problems += _in_one_go(console, place, whole)
            with mlflow_server(folder / "mlflow", password=True) as guarded, target_server(folder / "own") as own:
                problems += guarded_import(console, guarded, own)
            problems += _killed(console, place, killed, random.Random(seed))
            with client_of(place) as client:
                answers = original_answers(client)
                for target in (whole, killed):
                    found = imported_answers(target)
                    equal = sum(found.get(version) == answer for version, answer in answers.items())
                    console.print(f"{equal} of {len(answers)} imported versions answer as the original")
                    problems += [] if found == answers else ["an imported version answers otherwise"]
                    problems += differences(client, target, place)
            if _timeless(whole) != _timeless(killed):
                problems.append("the database after the kills is not that of an import in one go")
    for problem in problems:
        console.print(problem, style="red")
    console.print("all held" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def _in_one_go(console: Console, place: Place, target: Target) -> list[str]:
    started = time.monotonic()
    first = target.command("import", environment=place.environment)
    console.print(f"in one go: {time.monotonic() - started:.0f} s; {first.stdout.splitlines()[-1]}")
    problems = [] if first.returncode == 0 else [first.stderr]
    for arguments in ((), ("--verify",)):
        before, started = target.rows(), time.monotonic()
        counts = target.report(*arguments, environment=place.environment)["counts"]
        same = target.rows() == before
        console.print(f"again {' '.join(arguments)}: {time.monotonic() - started:.0f} s; {counts}; rows equal: {same}")
        if counts["same"] != MODELS * VERSIONS or counts["changes"] or not same:
            problems.append("a second import changed something")
    return problems


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


def _killed(console: Console, place: Place, target: Target, moments: random.Random) -> list[str]:
    kills, problems, seen = 0, list[str](), 0
    for _ in range(KILLS):
        process = target.start("import", environment=place.environment)
        try:
            process.wait(moments.uniform(*KILL_SECONDS))
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        kills += 1
        count = target.count_versions()
        if count < seen:
            problems.append(f"after kill {kills} there were {count} versions, {seen} before")
        seen = count
        console.print(f"kill {kills}: {count} versions are there")
    last = target.report(environment=place.environment)["counts"]
    console.print(f"after {kills} kills: {last}")
    left = [path.name for path in (target.client_home / "imports").iterdir() if path.is_dir()]
    if left:
        problems.append(f"the kills left {left}")
    if last["failed"] or last["same"] + last["imported"] != MODELS * VERSIONS:
        problems.append("what was killed did not come to its end")
    return problems


def _timeless(target: Target) -> list[str]:
    """All rows, without the times at which they were written and without ids that follow from their order."""
    return sorted(re.sub(r"\b1[0-9]{12}\b", "<time>", row) for row in target.rows())


if __name__ == "__main__":
    sys.exit(main())
