"""Which environment a package gets: this one where it will do; whose Python; which variables."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy
import pytest

from servery.errors import EnvironmentFailed
from servery.package.requirements import EnvironmentSpec
from servery.workers.environments.interpreters import find_interpreter
from servery.workers.environments.local import first_unmet
from servery.workers.environments.variables import launch

HERE = platform.python_version()
NUMPY = numpy.__version__


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ((), None),
        (("numpy",), None),
        ((f"numpy=={NUMPY}", "pandas>=2"), None),
        (("Scikit_Learn",), None),
        (("--extra-index-url https://host/simple", "numpy"), None),
        (("nothing-of-that-name; python_version < '3'",), None),
        (("httpx[cli]; python_version < '3'",), None),
        (("numpy==0.1",), f"it asks for 'numpy==0.1', and {NUMPY} is installed"),
        (("nothing-of-that-name",), "it asks for 'nothing-of-that-name', which is not installed"),
        (("./wheels/mine-1.0-py3-none-any.whl",), "'./wheels/mine-1.0-py3-none-any.whl' cannot be told"),
        (("numpy @ https://host/numpy.whl",), "cannot be told from what is installed"),
        (("sqlalchemy[mssql-pymssql]",), "it asks for 'sqlalchemy[mssql-pymssql]: pymssql', which is not installed"),
    ],
)
def test_whether_this_environment_will_do(lines: tuple[str, ...], why: str | None) -> None:
    found = first_unmet(EnvironmentSpec(HERE, lines))
    assert found is None if why is None else why in str(found)


def test_another_patch_of_python_will_do_and_another_minor_will_not() -> None:
    major, minor, _ = HERE.split(".")
    assert first_unmet(EnvironmentSpec(f"{major}.{minor}.99", ())) is None
    assert first_unmet(EnvironmentSpec("3.9.1", ())) == f"it asks for Python 3.9.1, and this is {HERE}"


def test_a_pinned_lock_is_not_asked_of_this_environment() -> None:
    assert first_unmet(EnvironmentSpec(HERE, ("numpy",), lock=("numpy==0.1 --hash=sha256:00",))) is None


def test_this_interpreter_is_the_first_choice(tmp_path: Path) -> None:
    assert find_interpreter(HERE, path="", home=tmp_path) == (sys.executable, HERE)
    assert find_interpreter(None, path="", home=tmp_path) == (sys.executable, HERE)


def python_that_says(file: Path, answer: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{answer}\n")
    file.chmod(0o755)


def test_another_version_is_found_on_the_path_and_below_pyenv(tmp_path: Path) -> None:
    python_that_says(tmp_path / ".pyenv/versions/3.9.2/bin/python3.9", "echo CPython 3.9.2")
    python_that_says(tmp_path / ".pyenv/versions/3.9.18/bin/python3.9", "echo CPython 3.9.18")
    python_that_says(tmp_path / "shims/python3.9", "exit 127")
    python_that_says(tmp_path / "bin/python3.10", "echo CPython 3.10.1")
    path = f"{tmp_path}/shims:{tmp_path}/bin"
    assert find_interpreter("3.9", path=path, home=tmp_path)[1] == "3.9.18"
    assert find_interpreter("3.10.5", path=path, home=tmp_path) == (str(tmp_path / "bin/python3.10"), "3.10.1")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("3.13.1" if not HERE.startswith("3.13") else "3.12.1", "install it, for example with 'uv python install 3.1"),
        ("2.7.18", "workers run on Python 3.9 and newer"),
        ("three", "which is no version"),
    ],
)
def test_a_version_that_is_not_there_is_said_with_how_to_get_it(tmp_path: Path, wanted: str, message: str) -> None:
    with pytest.raises(EnvironmentFailed) as refused:
        find_interpreter(wanted, path=str(tmp_path), home=tmp_path)
    assert message in refused.value.message


def test_a_worker_gets_few_of_the_servers_variables_and_all_of_its_endpoints() -> None:
    server = {"PATH": "/usr/bin", "LANG": "C", "AWS_SECRET_ACCESS_KEY": "secret"}
    started = launch("/environments/x/bin/python", server, {"GREETING": "hi", "LANG": "de"}, replicas=1)
    assert started.variables["PATH"] == "/environments/x/bin:/usr/bin"
    assert (started.variables["GREETING"], started.variables["LANG"]) == ("hi", "de")
    assert "AWS_SECRET_ACCESS_KEY" not in started.variables
