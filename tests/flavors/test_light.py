"""The matrix's cases of the frameworks that the development environment has: equal to stock mlflow, in this process.

``make test-flavors`` does the same for every framework and release, with real servers.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from servery.package.reader import load_folder
from servery_worker.codecs.json_text import dump_json
from servery_worker.wire import Asked, MediaType, Outcome
from tests.flavors.compare import difference
from tests.flavors.environments import ROOT
from tests.flavors.pages import EXAMPLES, FOLDER, pages

FLAVORS = ("sklearn", "xgboost", "lightgbm", "statsmodels", "onnx")
CASES = [
    (flavor, number, case)
    for flavor in FLAVORS
    for number, case in enumerate(importlib.import_module(f"tests.flavors.cases.{flavor}").cases())
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Future[Path]]]:
    """Each flavor's cases and each page's example, two at a time, in a process and a folder of its own."""
    pool = ThreadPoolExecutor(2)
    programs = {(flavor, "cases"): ["-m", "tests.flavors.make", "cases", flavor] for flavor in FLAVORS}
    programs |= {(flavor, "example"): ["-c", EXAMPLES[flavor]] for flavor in FLAVORS}
    yield {key: pool.submit(run, tmp_path_factory.mktemp("-".join(key)), program) for key, program in programs.items()}
    pool.shutdown(cancel_futures=True)


def run(folder: Path, program: list[str]) -> Path:
    """Some of the models leave traces in the folder where they run: it is theirs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, *program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.mark.parametrize(("flavor", "number", "case"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_it_answers_as_stock_mlflow_whoever_saved_it(flavor: str, number: int, case: Any, runs: Any) -> None:
    place = runs[flavor, "cases"].result() / "cases" / f"{number:02}"
    assert not (place / "failed.json").exists(), json.loads((place / "failed.json").read_text())
    asked = json.loads((place / "asked.json").read_text())
    for kind in ("stock", "ours") if case.ours else ("stock",):
        assert difference(asked["stock"], asked[kind], case.tolerance) is None, kind
        predictor = load_folder(place / kind).predictor
        answers, _ = predictor.answer([Asked(MediaType.JSON, dump_json(body)) for body in asked["bodies"]])
        assert [outcome for outcome, *_ in answers] == [Outcome.OK] * len(answers), answers
        given = [json.loads(body) for _, body, *_ in answers]
        assert difference(asked["stock"], given, case.tolerance) is None, kind


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_example_of_its_page_runs(flavor: str, runs: Any) -> None:
    assert runs[flavor, "example"].result().is_dir()


def test_the_pages_are_what_the_table_and_the_results_make() -> None:
    assert {page.name: page.read_text() for page in FOLDER.glob("*.md")} == pages()
