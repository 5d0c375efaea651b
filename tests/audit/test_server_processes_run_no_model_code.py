"""Rule 2: only workers run model code. The hook watches the whole run; here it is seen to work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import servery
from tests.audit.records import violations, watched, watching
from tests.models import save_echo
from tests.servers import answers, free_port, servery_process, wait_until

PACKAGE = "package"
COUNTER = "unpickling of collections.Counter"
PLANTED = [
    ("import pandas", "import of pandas"),
    ("try:\n    import mlflow.pyfunc\nexcept ImportError:\n    pass", "import of mlflow"),
    ("__import__('importlib').import_module('sklearn.base')", "import of sklearn"),
    ("import pickle, collections\npickle.loads(pickle.dumps(collections.Counter()))", COUNTER),
    ("import sys\nsys.path.insert(0, 'package/code')\nimport helper", "exec of {}/package/code/helper.py"),
    ("import runpy\nrunpy.run_path('{}/package/code/helper.py')", "compile of {}/package/code/helper.py"),
]  # fmt: skip


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    return folder


def run(code: str, command: str, folder: Path, records: Path) -> None:
    """Run ``code`` in a process that looks like ``servery COMMAND``, beside a package with a module in it."""
    (folder / PACKAGE / "code").mkdir(parents=True)
    (folder / PACKAGE / "MLmodel").write_text("flavors: {}\n")
    (folder / PACKAGE / "code" / "helper.py").write_text("VALUE = 1\n")
    (folder / "servery").write_text(code.replace("{}", str(folder)))
    environment = {**os.environ, **watching(records, os.environ), "PYTHONDONTWRITEBYTECODE": "1"}
    started = [sys.executable, str(folder / "servery"), command]
    subprocess.run(started, cwd=folder, env=environment, timeout=60, check=True)


@pytest.mark.parametrize(("code", "expected"), PLANTED, ids=[expected for _, expected in PLANTED])
def test_a_server_that_touches_model_code_is_found_out(code: str, expected: str, tmp_path: Path, records: Path) -> None:
    run(code, "serve", tmp_path, records)

    found = violations(records)
    expected = expected.replace("{}", str(tmp_path.resolve()))
    assert any(f"servery serve: {expected}" in violation for violation in found), found


@pytest.mark.parametrize(
    ("code", "command"),
    [
        pytest.param(
            "import json, sqlite3, pickle\npickle.dumps(json)if 0 else 0", "control", id="a server's own work"
        ),
        pytest.param("import pickle, pandas", "register", id="a client may do as it likes"),
    ],
)
def test_what_is_allowed_is_not_a_violation(code: str, command: str, tmp_path: Path, records: Path) -> None:
    run(code, command, tmp_path, records)
    assert violations(records) == []


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_violation_fails_the_whole_run(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_plant.py").write_text(
        "import subprocess, sys\n"
        "def test_it_passes_by_itself(tmp_path):\n"
        "    (tmp_path / 'servery').write_text('import numpy')\n"
        "    subprocess.run([sys.executable, str(tmp_path / 'servery'), 'gateway'], check=True)\n"
    )
    root = Path(__file__).parents[2]
    options = ["-q", "-n", processes, "-p", "tests.conftest", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100, check=False)

    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
    assert "servery gateway: import of numpy" in ran.stdout


def test_both_planes_are_watched_while_they_deploy_and_predict(tmp_path: Path, records: Path) -> None:
    port, gateway_port = free_port(), free_port()
    arguments = ("up", "--port", str(port), "--gateway-port", str(gateway_port), "--home", str(tmp_path / "home"))
    environment = watching(records, os.environ)
    with servery_process(*arguments, port=port, log=tmp_path / "log", environment=environment) as up:
        wait_until(lambda: answers(f"{up.url}/readyz"), "servery up is ready", timeout_seconds=60)
        with servery.Client(up.url) as client:
            client.register(save_echo(tmp_path / "echo", version=1), "echo")
            client.deploy("echo", "models:/echo/1")
            assert client.predict("echo", [[7, 0]]) == [[1, 7, 7]]

    assert watched(records) == ["control", "gateway", "up"]
    assert violations(records) == []
