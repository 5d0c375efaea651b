"""Requirements are what a fresh process imports for the model, and nothing of ours."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from servery.errors import LoadFailed
from servery.package import PythonModel, environment, save_model
from servery.package.environment import write_environment


class Distribution:
    """What importlib.metadata tells of an installed distribution."""

    def __init__(
        self, version: str, requires: tuple[str, ...] = (), modules: tuple[str, ...] = (), url: str = ""
    ) -> None:
        self.version, self.requires, self.modules, self.url = version, list(requires), modules, url

    def read_text(self, _name: str) -> str | None:
        return self.url or None


INSTALLED = {
    "scikit-learn": Distribution("1.9.1", ("numpy>=1", "scipy", "joblib", "pytest; extra == 'test'"), ("sklearn",)),
    "joblib": Distribution("1.6.0", (), ("joblib",)),
    "numpy": Distribution("2.4.6", (), ("numpy",)),
    "scipy": Distribution("1.17.1", ("numpy",), ("scipy",)),
    "torch": Distribution("2.9.0+cu128", ("numpy", "nothing-installed"), ("torch",)),
    "Upper_Case": Distribution("1", (), ("upper",)),
    "one": Distribution("1", ("two",), ("one",)),
    "two": Distribution("2", ("one",), ("two",)),
    "deep": Distribution("1", ("joblib",), ("deep",)),
    "elsewhere": Distribution("1", ("numpy; sys_platform == 'nowhere'",), ("elsewhere",)),
    "mine": Distribution("0.1", (), ("mine",), '{"url": "file:///home/me", "dir_info": {"editable": true}}'),
    "built": Distribution("0.1", (), ("built",), '{"url": "file:///home/me", "dir_info": {}}'),
    "servery": Distribution("0.1", ("numpy",), ("servery", "servery_worker")),
    "setuptools": Distribution("80", (), ("setuptools", "_distutils_hack")),
}

# Modules that were imported, and the requirements that follow.
RULES: dict[str, tuple[list[str], list[str]]] = {
    "the standard library needs nothing": (["json", "_strptime", "zoneinfo"], []),
    "a module is named by its distribution": (["sklearn"], ["scikit-learn==1.9.1"]),
    "what another one requires is left out": (["sklearn", "joblib"], ["scikit-learn==1.9.1"]),
    "through others, too": (["joblib", "deep"], ["deep==1"]),
    "but what lies in pickles stays": (
        ["sklearn", "numpy", "scipy", "joblib"],
        ["numpy==2.4.6", "scikit-learn==1.9.1", "scipy==1.17.1"],
    ),
    "a local version is the public one": (["torch"], ["torch==2.9.0"]),
    "names are written in their canonical form": (["upper"], ["upper-case==1"]),
    "of two that require each other the first stays": (["one", "two"], ["one==1"]),
    "a requirement of another platform does not count": (["elsewhere", "numpy"], ["elsewhere==1", "numpy==2.4.6"]),
    "what is installed in place has no index": (["mine", "built"], ["built==0.1"]),
    "servery and the installers are never listed": (["servery", "servery_worker", "setuptools", "_distutils_hack"], []),
}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What INSTALLED has, instead of what this environment has."""
    by_name = {name.lower().replace("_", "-"): distribution for name, distribution in INSTALLED.items()}

    def find(name: str) -> Distribution:
        if name not in by_name:
            raise importlib.metadata.PackageNotFoundError(name)
        return by_name[name]

    owners = {module: [name] for name, one in INSTALLED.items() for module in one.modules}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: owners)
    monkeypatch.setattr(importlib.metadata, "distribution", find)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: find(name).version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: find(name).requires)


@pytest.mark.parametrize("rule", RULES)
def test_requirements_follow_from_the_imported_modules(rule: str, installed: None) -> None:
    modules, expected = RULES[rule]
    assert environment.requirements_of(modules) == expected


# Modules that were imported with those that asked for them, and the ones that may not be needed.
DOUBTS: dict[str, tuple[dict[str, list[str]], set[str]]] = {
    "what the pickle names is needed": ({"sklearn": ["servery_worker"], "torch": ["cloudpickle"]}, set()),
    "what the model's own code imports is needed": (
        {"torch": ["__main__"], "deep": ["kitchen"], "one": ["mine"]},
        set(),
    ),
    "what a needed library requires is needed": ({"sklearn": ["servery_worker"], "joblib": ["sklearn"]}, set()),
    "what it merely finds is in doubt": ({"sklearn": ["servery_worker"], "torch": ["sklearn"]}, {"torch"}),
    "and what that one finds": ({"sklearn": ["__main__"], "torch": ["sklearn"], "deep": ["torch"]}, {"torch", "deep"}),
    "what nobody was seen to ask for is in doubt": ({"torch": []}, {"torch"}),
    "what compiled code imports is in doubt": ({"torch": [""]}, {"torch"}),
    "what the standard library imports is in doubt": ({"torch": ["multiprocessing"]}, {"torch"}),
    "the standard library is not": ({"json": ["sklearn"], "zoneinfo": []}, set()),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_what_only_libraries_asked_for_is_in_doubt(case: str, installed: None) -> None:
    importers, expected = DOUBTS[case]
    assert environment.doubtful_modules(importers) == expected


def test_a_text_classifier_needs_scikit_learn_and_nothing_that_pandas_or_joblib_found(tmp_path: Path) -> None:
    model = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(["win money", "see you"], ["spam", "ham"])
    save_model(model, tmp_path / "model", input_example=np.array(["win"]))
    assert names(tmp_path / "model") - {"pandas"} == {"cloudpickle", "numpy", "scikit-learn", "scipy"}


def test_what_a_library_imports_on_the_models_behalf_is_listed(tmp_path: Path) -> None:
    def predict(data: Any) -> Any:
        return list(pd.Series(["a"], dtype="string[pyarrow]"))

    save_model(predict, tmp_path / "model", input_example={"a": 1.0})
    assert "pyarrow" in names(tmp_path / "model")


def names(path: Path) -> set[str]:
    return {line.partition("==")[0] for line in (path / "requirements.txt").read_text().splitlines()}


def test_a_function_of_the_standard_library_needs_only_what_reads_and_feeds_it(tmp_path: Path) -> None:
    save_model(lambda data: [len(data)], tmp_path / "model", input_example={"a": 1.0})
    assert {"cloudpickle", "pandas"} <= names(tmp_path / "model")
    assert {"servery", "orjson", "scikit-learn", "packaging", "msgspec"}.isdisjoint(names(tmp_path / "model"))


def test_what_the_models_own_code_imports_is_listed(tmp_path: Path) -> None:
    def predict(data: Any) -> Any:
        import msgspec
        import orjson

        return [orjson.loads(msgspec.json.encode(1))]

    save_model(predict, tmp_path / "model", input_example={"a": 1.0})
    assert {"orjson", "msgspec"} <= names(tmp_path / "model")


def test_what_a_model_prints_is_not_taken_for_the_answer(tmp_path: Path) -> None:
    def predict(data: Any) -> Any:
        print('{"modules": [], "error": "made up"}')  # noqa: T201
        return [1]

    save_model(predict, tmp_path / "model", input_example={"a": 1.0})
    assert "cloudpickle" in names(tmp_path / "model")


class DiesWhenLoaded(PythonModel):
    def __init__(self) -> None:
        self.state = "without which __setstate__ is not called"

    def __setstate__(self, state: Any) -> None:
        import os

        os._exit(7)


def test_a_model_that_ends_its_process_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"The model 'model' failed to load: a fresh process .* ended with status 7"):
        save_model(DiesWhenLoaded(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PROBE_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(LoadFailed, match=r"not ready within 0\.01 s"):
        save_model(lambda data: data, tmp_path / "model")


def test_environment_files_are_those_of_mlflow(tmp_path: Path) -> None:
    write_environment(tmp_path, ["numpy==2.4.6", "pandas==3.1.1"])
    assert (tmp_path / "requirements.txt").read_text() == "numpy==2.4.6\npandas==3.1.1\n"
    python_env = yaml.safe_load((tmp_path / "python_env.yaml").read_text())
    assert python_env["python"] == platform.python_version()
    assert [line.partition("==")[0] for line in python_env["build_dependencies"]] == ["pip", "setuptools", "wheel"]
    assert python_env["dependencies"] == ["-r requirements.txt"]
    conda = yaml.safe_load((tmp_path / "conda.yaml").read_text())
    assert (conda["name"], conda["channels"]) == ("mlflow-env", ["conda-forge"])
    assert conda["dependencies"][0] == f"python={platform.python_version()}"
    assert conda["dependencies"][-1] == {"pip": ["numpy==2.4.6", "pandas==3.1.1"]}
