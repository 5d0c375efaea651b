"""``servery check`` and ``--check`` as people use them, with a registry that keeps the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import servery
from tests import broken
from tests.servers import Both

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(both: Both, tmp_path_factory: pytest.TempPathFactory) -> Run:
    environment = {
        **os.environ,
        "SERVERY_SERVER": both.up.url,
        "SERVERY_HOME": str(tmp_path_factory.mktemp("mine")),
        "SERVERY_REQUEST_TIMEOUT_SECONDS": "20",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "servery.cli.main", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)

    return run


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return broken.save(broken.Sound(), tmp_path_factory.mktemp("sound") / "model")


@pytest.fixture(scope="module")
def unfit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return broken.save(broken.RaisesAtLoad(), tmp_path_factory.mktemp("unfit") / "model")


def test_what_registering_checked_is_stored_with_the_version(run: Run, sound: Path, client: servery.Client) -> None:
    done = run("register", str(sound), "--name", "checked", "--check")
    assert done.returncode == 0, done.stderr
    assert "✓  load" in done.stdout
    assert "Fit to deploy" in done.stdout
    assert "Registered models:/checked/1" in done.stdout
    report = client.version("checked", 1).check
    assert (report["fitness"], report["version"]) == ("fit", 1)
    shown = run("models", "show", "checked", "--version", "1").stdout
    assert "Fit to deploy" in shown
    assert "Checked" in shown


def test_a_registered_version_is_checked_and_its_report_kept_unless_told_otherwise(
    run: Run, sound: Path, client: servery.Client
) -> None:
    client.register(sound, "later")
    done = run("check", "models:/later/1", "--no-store", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["model"], report["digest"]) == ("models:/later/1", client.version("later", 1).digest)
    assert [rate["size"] for rate in report["figures"]["rates"]] == [1, 8, 32, 128]


def test_a_broken_package_is_said_with_exit_status_1_and_not_registered(
    run: Run, unfit: Path, client: servery.Client
) -> None:
    done = run("check", str(unfit))
    assert done.returncode == 1
    assert done.stderr == ""
    assert "✗  load" in done.stdout
    assert "Not fit to deploy: It does not load" in done.stdout
    refused = run("register", str(unfit), "--name", "refused", "--check")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "no recipe today" in refused.stderr
    assert "refused" not in [model.name for model in client.models()]


def test_a_broken_version_is_not_deployed_and_its_report_is_stored(
    run: Run, unfit: Path, client: servery.Client
) -> None:
    version = client.register(unfit, "unfit")
    done = run("deploy", "unfit", "models:/unfit/1", "--check")
    assert done.returncode == 1
    assert "Not fit to deploy" in done.stderr
    assert client.endpoints() == []
    assert client.version("unfit", version.version).check["fitness"] == "not fit"
    assert "✗ load" in run("models", "show", "unfit", "--version", "1").stdout


def test_a_folder_that_is_no_package_is_one_line(run: Run, tmp_path: Path) -> None:
    done = run("check", str(tmp_path))
    assert done.returncode == 1
    assert "no MLmodel file" in done.stderr
    assert done.stderr.count("\n") == 1
