"""Every flavor with every release that is tried: ``python -m tests.flavors.matrix [--group G]… [--case "xgboost: …"]``.

For each group an environment is made, and in it each model is trained on real data and saved, by stock mlflow and by
Servery. Stock mlflow loads both and answers; ``servery serve`` serves both and must answer the same over HTTP.
``--write`` keeps the results in ``results.json``, from which the documentation's pages are made.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.flavors.compare import difference
from tests.flavors.environments import ROOT, Group, prepare, read_groups, versions
from tests.flavors.pages import EXAMPLES, NAMED, RESULTS, write_pages
from tests.servers import serving

_MAKE_SECONDS = 1800
_START_SECONDS = 240
"""TensorFlow alone may take a minute to be imported on a busy machine."""
_AT_ONCE = 2
"""Groups that are tried at the same time: most of a group's time is waiting for one process."""
_OK = "ok"
_PARTS = ("stock served", "ours loaded", "ours served")


def main() -> int:
    options = _options()
    groups = [group for group in read_groups() if not options.group or group.name in options.group]
    console = Console()
    results: dict[str, Any] = {}
    with Progress(console=console) as progress, ThreadPoolExecutor(_AT_ONCE) as pool:
        bar = progress.add_task("groups", total=len(groups))

        def run(group: Group) -> dict[str, Any]:
            result = run_group(group, Path(options.environments), options.case, console)
            progress.advance(bar)
            return result

        results.update(zip([group.name for group in groups], pool.map(run, groups), strict=True))
    cases = [case for result in results.values() for case in result["cases"]]
    console.print(_table(results))
    bad = [case for case in cases if not _is_good(case)]
    console.print(f"{len(cases) - len(bad)} of {len(cases)} are as stock mlflow has them.")
    if options.write and not bad:
        _write(results, keep_others=bool(options.group))
    return 1 if bad or not cases else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="matrix", description=__doc__)
    parser.add_argument("--group", action="append", help="this group only; may be repeated")
    parser.add_argument("--case", help='one case only, such as "xgboost: booster, ubj"')
    parser.add_argument("--environments", default=str(ROOT / ".flavors"), help="the folder of the environments")
    parser.add_argument("--write", action="store_true", help="keep the results, and write the documentation's pages")
    return parser.parse_args()


def run_group(group: Group, environments: Path, only: str | None, console: Console) -> dict[str, Any]:
    """Make the group's environment and try all of its flavors: what ``results.json`` keeps of a group."""
    interpreter = prepare(group, environments)
    flavor, _, name = (only or "").partition(": ")
    installed = versions(interpreter)
    result: dict[str, Any] = {"versions": {name: installed[name] for name in NAMED & installed.keys()}, "cases": []}
    for each in group.flavors:
        if flavor in ("", each):
            for case in _run_flavor(interpreter, each, name):
                console.print(f"{group.name}: {each}: {case['name']}: {_said(case)}", highlight=False)
                result["cases"].append(case)
            if not only:
                _run_example(interpreter, each)
    return result


def _run_flavor(interpreter: Path, flavor: str, name: str) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        made = _python(interpreter, folder, "-m", "tests.flavors.make", folder, flavor, *([name] if name else []))
        if made.returncode:
            yield {"flavor": flavor, "name": name or "all", "failed": _tail(made)}
        for about in sorted(Path(folder).glob("*/case.json")):
            yield {"flavor": flavor, **try_case(about.parent, json.loads(about.read_text()), str(interpreter))}


def try_case(place: Path, case: dict[str, Any], interpreter: str) -> dict[str, Any]:
    """Serve what was made of one case, and hold the answers against stock mlflow's."""
    if (place / "failed.json").exists():
        return {"name": case["name"], "failed": json.loads((place / "failed.json").read_text())}
    asked = json.loads((place / "asked.json").read_text())
    wanted, tolerance = asked["stock"], case["tolerance"]
    result = {
        "name": case["name"],
        "inputs": len(wanted),
        "stock served": _served(place, "stock", interpreter, asked["bodies"], wanted, tolerance),
    }
    if case["ours"]:
        result["ours loaded"] = difference(wanted, asked["ours"], tolerance) or _OK
        result["ours served"] = _served(place, "ours", interpreter, asked["bodies"], wanted, tolerance)
    return result


def _served(place: Path, kind: str, interpreter: str, bodies: list[Any], wanted: list[Any], tolerance: float) -> str:
    try:
        with serving(
            place / kind, place / f"home-{kind}", interpreter=interpreter, start_seconds=_START_SECONDS
        ) as server:
            given = [_ask(server.url, body) for body in bodies]
    except AssertionError as error:
        return str(error)[-600:]
    return difference(wanted, given, tolerance) or _OK


def _ask(url: str, body: Any) -> Any:
    answer = httpx.post(f"{url}/invocations", json=body, timeout=60)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.text}"
    return answer.json()


def _run_example(interpreter: Path, flavor: str) -> None:
    """The example of the flavor's page, as it stands."""
    with tempfile.TemporaryDirectory() as folder:
        ran = _python(interpreter, folder, "-c", EXAMPLES[flavor])
    if ran.returncode:
        raise SystemExit(f"The example of {flavor} fails:\n{_tail(ran)}")


def _python(interpreter: Path, folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in ``folder``, where some models leave traces."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    return subprocess.run(
        [str(interpreter), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_MAKE_SECONDS,
        check=False,
    )


def _tail(ran: subprocess.CompletedProcess[str]) -> str:
    return (ran.stderr or ran.stdout)[-3000:]


def _is_good(case: dict[str, Any]) -> bool:
    return case.get("stock served") == _OK and all(
        case.get(part, _OK) == _OK for part in ("ours loaded", "ours served")
    )


def _said(case: dict[str, Any]) -> str:
    wrong = [str(case[part]) for part in ("failed", *_PARTS) if case.get(part, _OK) != _OK]
    return "\n".join(wrong) or _OK


def _table(results: dict[str, Any]) -> Table:
    table = Table(title="What stock mlflow saved, and what Servery saved")
    for head in ("group", "flavor", "case", "inputs", "stock's, served", "ours, in mlflow", "ours, served"):
        table.add_column(head)
    for group, result in results.items():
        for case in result["cases"]:
            marks = [_mark(case, part) for part in _PARTS]
            table.add_row(group, case["flavor"], case["name"], str(case.get("inputs", "")), *marks)
    return table


def _mark(case: dict[str, Any], part: str) -> str:
    if "failed" in case:
        return "not made"
    return {None: "–", _OK: "equal"}.get(case.get(part), "differs")


def _write(results: dict[str, Any], *, keep_others: bool) -> None:
    before = json.loads(RESULTS.read_text())["groups"] if keep_others and RESULTS.exists() else {}
    kept = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "groups": {**before, **results},
    }
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    write_pages()


if __name__ == "__main__":
    sys.exit(main())
