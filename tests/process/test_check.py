"""``servery check`` on packages that are broken, each in one way: what it says of them, seen in real workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from servery.check.report import Fitness, Look, Report, Verdict
from servery.check.run import check
from servery.check.settings import Limits, Settings
from servery.clock import SystemClock
from servery.config import EnvManager, PackageSources
from servery.workers.environments.store import Environments
from tests import broken

QUICK = {"latency_seconds": 0.05, "rate_seconds": 0.03, "growth_seconds": 0.3, "edge_seconds": 3.0}
CHECKS_AT_A_TIME = 2
LOOKS_OF_THE_MODEL = set(Look) - {Look.FILES, Look.PICKLES, Look.ENVIRONMENT, Look.OUTSIDE}


@dataclass(frozen=True)
class Case:
    """A package, and the finding that must say what is wrong with it."""

    make: Callable[[Path], Path]
    look: Look
    verdict: Verdict
    words: tuple[str, ...]
    load_seconds: float = 60.0


def of(model: Callable[[], object]) -> Callable[[Path], Path]:
    return lambda folder: broken.save(model(), folder)


BROKEN, WARNING = Verdict.BROKEN, Verdict.WARNING
CASES = {
    "raises at load": Case(of(broken.RaisesAtLoad), Look.LOAD, BROKEN, ("does not load", "no recipe today")),
    "hangs at load": Case(of(broken.HangsAtLoad), Look.LOAD, BROKEN, ("not ready within 4 s", "stood in loaded"), 4.0),
    "dies at load": Case(of(broken.DiesAtLoad), Look.LOAD, BROKEN, ("status 1", "the cellar is empty")),
    "requires what there is not": Case(
        broken.save_wrong_requirements, Look.ENVIRONMENT, BROKEN, ("cannot be made", "a-library-that-nobody-made==1.0")
    ),
    "requires too little": Case(
        of(broken.LacksModule), Look.LOAD, BROKEN, ("requirements do not bring imaginary_library",)
    ),
    "uses more than it requires": Case(
        of(broken.UsesMoreThanItRequires), Look.REQUIREMENTS, WARNING, ("do not bring sklearn",)
    ),
    "answer differs": Case(
        broken.save_other_answer, Look.RECORDED, BROKEN, ("otherwise than recorded", "119.0, not 120.5")
    ),
    "depends on neighbours": Case(
        of(broken.DependsOnNeighbours), Look.NEIGHBOURS, WARNING, ("depends on its neighbours", "one by one")
    ),
    "leaks": Case(of(broken.Leaks), Look.GROWTH, BROKEN, ("leaks memory", "KiB more with every prediction")),
    "leaks by value": Case(of(broken.LeaksByValue), Look.GROWTH, BROKEN, ("leaks memory",)),
    "needs a GPU": Case(of(broken.NeedsGpu), Look.LOAD, BROKEN, ("needs a GPU, and this machine has none",)),
    "needs a GPU to predict": Case(
        lambda folder: broken.save_without_example(broken.NeedsGpuToPredict(), folder),
        Look.EXAMPLE,
        BROKEN,
        ("needs a GPU, and this machine has none", "NVIDIA"),
    ),
    "writes into its home": Case(
        of(broken.WritesOutside), Look.OUTSIDE, WARNING, ("writes outside its folder (~/predictions.csv)",)
    ),
    "writes anywhere": Case(
        lambda folder: broken.save(broken.WritesAnywhere(folder.parent / "spilt.txt"), folder),
        Look.OUTSIDE,
        WARNING,
        ("writes outside its folder (", "spilt.txt)"),
    ),
    "writes into its package": Case(
        lambda folder: broken.save(broken.WritesAnywhere(folder / "notes.txt"), folder),
        Look.OUTSIDE,
        BROKEN,
        ("changes its own package (notes.txt)",),
    ),
    "prints": Case(of(broken.Prints), Look.OUTPUT, WARNING, ("prints 1.1 KiB with every prediction", "a day")),
    # As slow for its deadline as a model of ten seconds is for a gateway's: its proof as a whole would not fit.
    "slow": Case(of(lambda: broken.Slow(3.5)), Look.LATENCY, WARNING, ("takes 3.5 s", "slow"), 30.0),
    "dies on nulls": Case(of(broken.DiesOnNulls), Look.EDGES, BROKEN, ("end its worker", "nulls", "SIGSEGV")),
    "hangs on large values": Case(
        of(broken.HangsOnLargeValues), Look.EDGES, BROKEN, ("make it hang", "the largest values", "in predict")
    ),
    "raises on many rows": Case(
        of(broken.RaisesOnManyRows), Look.EDGES, WARNING, ("raises on 1000 rows", "too many cooks")
    ),
    "answers at random": Case(of(broken.AnswersAtRandom), Look.REPEAT, WARNING, ("differently each time",)),
    "dies in the end": Case(of(broken.DiesInTheEnd), Look.LATENCY, BROKEN, ("did not go on", "status 3")),
    "leaves processes": Case(of(broken.LeavesChildren), Look.GROWTH, BROKEN, ("leaves a process behind",)),
    "needs the network": Case(
        of(broken.NeedsNetwork), Look.LOAD, BROKEN, ("needs the network", "could not reach weights.invalid:80")
    ),
    "a changed file": Case(broken.save_changed_file, Look.FILES, BROKEN, ("'model.pkl' is not what was saved",)),
}
SOUND = {
    "an object": of(broken.Sound),
    "scikit-learn": broken.save_sklearn,
    "a function": broken.save_function,
    "stock mlflow": broken.save_stock,
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """The report of each package, some at a time: a check is mostly a wait for workers to start."""
    root = tmp_path_factory.mktemp("packages")
    names = [*CASES, *SOUND]
    folders = {}
    for index, name in enumerate(names):
        make = CASES[name].make if name in CASES else SOUND[name]
        folders[name] = make(root / str(index) / "model")

    async def run_all() -> list[Report]:
        gate = asyncio.Semaphore(CHECKS_AT_A_TIME)

        async def run(name: str) -> Report:
            load_seconds = CASES[name].load_seconds if name in CASES else 60.0
            async with gate:
                return await check(folders[name], settings(root, load_seconds), SystemClock(), model=name)

        return await asyncio.gather(*map(run, names))

    return dict(zip(names, asyncio.run(run_all()), strict=True))


def settings(root: Path, load_seconds: float) -> Settings:
    variables = {"PATH": os.environ["PATH"], "HOME": str(root), "UV_CACHE_DIR": str(root / "cache")}
    sources = PackageSources(no_index=True, offline=True, variables=variables)
    environments = Environments(root / "made", EnvManager.AUTO, sources, SystemClock(), build_timeout_seconds=60)
    limits = Limits(load_seconds=load_seconds, predict_seconds=30, **QUICK)
    return Settings(environments=environments, server_variables=variables, limits=limits)


pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_is_wrong_in_one_sentence(reports: dict[str, Report], name: str) -> None:
    case, report = CASES[name], reports[name]
    [finding] = (one for one in report.findings if one.look is case.look)
    assert finding.verdict is case.verdict, finding
    assert [word for word in case.words if word not in finding.sentence] == [], finding.sentence
    assert report.fitness is (Fitness.UNFIT if case.verdict is BROKEN else Fitness.NOTES)


@pytest.mark.parametrize("name", CASES)
def test_it_finds_nothing_else_broken(reports: dict[str, Report], name: str) -> None:
    others = [one for one in reports[name].findings if one.look is not CASES[name].look]
    assert [one for one in others if one.verdict is BROKEN] == []


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_model_is_fit(reports: dict[str, Report], name: str) -> None:
    report = reports[name]
    assert [one for one in report.findings if one.verdict in (BROKEN, WARNING, Verdict.SKIPPED)] == []
    assert report.fitness is Fitness.FIT
    assert "Fit to deploy" in report.recommendation
    assert [rate.size for rate in report.figures.rates] == [1, 8, 32, 128]
    assert min(report.figures.load_seconds or 0, report.figures.memory_bytes or 0, report.figures.p50_ms or 0) > 0


def test_every_report_looks_at_everything_once(reports: dict[str, Report]) -> None:
    for report in reports.values():
        assert [finding.look for finding in report.findings] == list(Look)


def test_what_does_not_load_is_not_asked(reports: dict[str, Report]) -> None:
    skipped = {one.look for one in reports["raises at load"].findings if one.verdict is Verdict.SKIPPED}
    assert skipped == LOOKS_OF_THE_MODEL - {Look.LOAD}


def test_no_worker_is_left(reports: dict[str, Report]) -> None:
    assert reports
    assert [line for line in command_lines() if "servery_worker" in line or "sleep 600" in line] == []


def command_lines() -> Iterable[str]:
    """Of the processes below this one."""
    return [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
