"""What a package asks of its environment, from every file in which it may stand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from servery.errors import PackageInvalid
from servery.package.requirements import EnvironmentSpec, lock_head, read_spec

PYTHON_ENV = """
python: 3.11.7
build_dependencies:
- pip==23.2
- setuptools==65.5.0
dependencies:
- -r requirements.txt
"""


def read(folder: Path, files: Mapping[str, str], **python_function: Any) -> EnvironmentSpec:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return read_spec(folder, {"flavors": {"python_function": {"loader_module": "mlflow.sklearn", **python_function}}})


def test_what_mlflow_saves_is_read(tmp_path: Path) -> None:
    spec = read(tmp_path, {"python_env.yaml": PYTHON_ENV, "requirements.txt": "mlflow==3.17.2\nnumpy==2.1.0\n"})
    assert (spec.python, spec.requirements) == ("3.11.7", ("mlflow==3.17.2", "numpy==2.1.0"))


def test_the_authors_setuptools_is_kept_as_an_upper_bound(tmp_path: Path) -> None:
    spec = read(tmp_path, {"python_env.yaml": PYTHON_ENV, "requirements.txt": "numpy\n"})
    assert spec.tools == ("setuptools<=65.5.0",)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("# a comment\nnumpy  # another\n\npandas\n", ("numpy", "pandas")),
        ("numpy \\\n  >=2\n", ("numpy >=2",)),
        ("pkg @ https://host/x.whl#sha256=00\n", ("pkg @ https://host/x.whl#sha256=00",)),
        ("--extra-index-url https://host/simple\nnumpy\n", ("--extra-index-url https://host/simple", "numpy")),
        ("\ufeffnumpy\n", ("numpy",)),
        ("numpy; python_version < '3.12'\n", ("numpy; python_version < '3.12'",)),
    ],
)
def test_lines_of_a_requirements_file(tmp_path: Path, text: str, lines: tuple[str, ...]) -> None:
    assert read(tmp_path, {"requirements.txt": text}).requirements == lines


def test_files_that_are_named_are_read_too(tmp_path: Path) -> None:
    files = {"requirements.txt": "-r more/a.txt\n-c constraints.txt\nnumpy\n", "more/a.txt": "pandas\n"}
    spec = read(tmp_path, {**files, "constraints.txt": "scipy<2\n"})
    assert (spec.requirements, spec.constraints) == (("pandas", "numpy"), ("scipy<2",))


def test_the_pip_part_of_a_conda_file_counts_where_there_is_nothing_else(tmp_path: Path) -> None:
    conda = "dependencies:\n- python=3.10.4\n- pip<=23\n- cudatoolkit=11.8\n- pip:\n  - numpy==1.26.0\n"
    spec = read(tmp_path, {"conda.yaml": conda})
    assert (spec.python, spec.requirements) == ("3.10.4", ("numpy==1.26.0",))
    assert spec.notes == ("'cudatoolkit=11.8' of conda.yaml is left out: only conda installs it.",)


def test_an_old_model_names_its_conda_file_alone(tmp_path: Path) -> None:
    spec = read(tmp_path, {"env.yml": "dependencies:\n- python=3.9.1\n- pip:\n  - numpy\n"}, env="env.yml")
    assert (spec.python, spec.requirements) == ("3.9.1", ("numpy",))


@pytest.mark.parametrize(("written", "python"), [("3.10", "3.10"), ("3.11.7", "3.11.7"), ("'3.12'", "3.12")])
def test_a_python_version_that_yaml_takes_for_a_number(tmp_path: Path, written: str, python: str) -> None:
    assert read(tmp_path, {"python_env.yaml": f"python: {written}\n"}).python == python


def test_the_mlmodel_says_the_python_version_where_no_file_does(tmp_path: Path) -> None:
    assert read(tmp_path, {"requirements.txt": "numpy\n"}, python_version="3.10.1").python == "3.10.1"
    assert read(tmp_path, {}).python is None


def test_a_wheel_of_the_package_is_one_of_the_files(tmp_path: Path) -> None:
    wheel = "wheels/mine-1.0-py3-none-any.whl"
    spec = read(tmp_path, {"requirements.txt": f"{wheel}\n", wheel: "w"})
    assert spec.requirements == ("./wheels/mine-1.0-py3-none-any.whl",)
    assert spec.files == (("wheels/mine-1.0-py3-none-any.whl", hashlib.sha256(b"w").hexdigest()),)


def test_a_lock_stands_for_the_requirements_that_it_locks(tmp_path: Path) -> None:
    lock = lock_head(b"numpy\n") + "numpy==2.1.0 \\\n    --hash=sha256:00\n"
    spec = read(tmp_path, {"requirements.txt": "numpy\n", "requirements.lock": lock})
    assert (spec.requirements, spec.lock) == (("numpy",), ("numpy==2.1.0 --hash=sha256:00",))


def test_a_lock_of_other_requirements_is_left_out(tmp_path: Path) -> None:
    lock = lock_head(b"numpy\n") + "numpy==2.1.0 --hash=sha256:00\n"
    spec = read(tmp_path, {"requirements.txt": "numpy\npandas\n", "requirements.lock": lock})
    assert spec.lock is None
    assert spec.notes == ("requirements.lock is left out: it does not lock this requirements.txt.",)


def test_a_uv_project_counts_by_its_lock(tmp_path: Path) -> None:
    spec = read(tmp_path, {"uv.lock": "version = 1", "pyproject.toml": "[project]", "requirements.txt": "numpy\n"})
    assert spec.is_project
    assert [path for path, _ in spec.files] == ["pyproject.toml", "uv.lock"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"requirements.txt": "-e .\n"}, "'requirements.txt' asks for an editable install: '-e .'"),
        ({"requirements.txt": "-r ../other.txt\n"}, "'requirements.txt' names '../other.txt', outside the package"),
        ({"requirements.txt": "/etc/x-1.0-py3-none-any.whl\n"}, "outside the package"),
        ({"requirements.txt": "-r gone.txt\n"}, "'gone.txt' cannot be read: No such file or directory"),
        ({"requirements.txt": "-r requirements.txt\n"}, "more than 16 that are included"),
        ({"python_env.yaml": "- a list\n"}, "'python_env.yaml' is not a mapping"),
        ({"python_env.yaml": "a: &a [1]\nb: *c\n"}, "'python_env.yaml' is not plain YAML"),
        ({"conda.yaml": "dependencies: {a: {b: {}}}\npython: [\n"}, "'conda.yaml' is not plain YAML"),
    ],
)
def test_what_is_refused_names_the_file(tmp_path: Path, files: Mapping[str, str], message: str) -> None:
    with pytest.raises(PackageInvalid) as refused:
        read(tmp_path, files)
    assert message in refused.value.message


def test_packages_that_ask_for_the_same_have_one_identity(tmp_path: Path) -> None:
    one = read(tmp_path / "a", {"requirements.txt": "# of Monday\nnumpy\n"})
    other = read(tmp_path / "b", {"requirements.txt": "numpy   # of Tuesday\n", "model.pkl": "another model"})
    assert one.identity() == other.identity()
    assert read(tmp_path / "c", {"requirements.txt": "pandas\n"}).identity() != one.identity()
