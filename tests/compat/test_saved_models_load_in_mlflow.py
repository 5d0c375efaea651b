"""A stock mlflow, with no servery in reach, loads what servery saves and predicts the same; and the other way round.

Three processes: an author's script saves models whose code lies in the script and in a module beside it; a reader
with mlflow alone loads them; and this one loads them with servery.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from servery.package import load_folder

BESIDE = '''
"""A module beside the author's script: no worker will ever have it."""
from dataclasses import dataclass

import numpy as np
from servery import PythonModel
from sklearn.base import BaseEstimator

FACTOR = 3


def scale(values):
    return values * FACTOR


@dataclass
class Threshold:
    limit: float

    def predict(self, frame):
        return (frame["a"] > self.limit).tolist()


class Largest(BaseEstimator):
    def fit(self, X, y=None):
        self.largest_ = X.max()
        return self

    def predict(self, X):
        return np.minimum(X["a"].to_numpy(), self.largest_["a"])


class Offset(PythonModel):
    def __init__(self, offset):
        super().__init__()
        self.offset = offset

    def predict(self, model_input, params=None):
        sign = -1 if (params or {}).get("negate") else 1
        return scale(model_input["a"]) * sign + self.offset
'''

AUTHOR = '''
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

import beside
import servery
from beside import scale

WEIGHT = 10
frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "n": [1, 2, 3, 4]})
texts = ["win money now", "hello friend", "win a prize", "see you soon"]
kinds = pd.DataFrame({
    "f": np.array([1.5, 2], dtype="float32"), "i": np.array([1, 2], dtype="int32"), "l": [1, 2], "d": [0.5, None],
    "b": [True, False], "s": ["x", None], "t": pd.to_datetime(["2024-01-01", "2024-01-02"]), "o": [["p"], ["q", "r"]],
    "I": pd.array([1, 2], dtype="Int64"),
})


class Counter(servery.PythonModel):
    """A class of the script itself, with no params."""

    def __init__(self):
        self.words = {"win": 2, "see": 1}

    def predict(self, model_input):
        return [sum(self.words.get(word, 0) for word in text.split()) for text in model_input]


def weigh(frame):
    return frame["a"] * WEIGHT + scale(frame["n"])


def describe(frame):
    return {"dtypes": [str(t) for t in frame.dtypes], "cells": [[repr(v) for v in row] for row in frame.to_numpy()]}


def over(data):
    return {name: float(np.sum(values)) for name, values in data.items()}


def spread(frame):
    return [sum(row["x"]) + len(row["y"]) for row in frame.to_dict("records")]


def with_params(frame, params=None):
    return beside.scale(frame["a"]) * params["times"]


classifier = LogisticRegression().fit(frame, [0, 0, 1, 1])
spam = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(texts, [1, 0, 1, 0])
CASES = {
    "sklearn frame": (classifier, frame[:2], frame),
    "sklearn array": (LogisticRegression().fit(frame.to_numpy(), [0, 0, 1, 1]), frame.to_numpy()[:2], frame.to_numpy()),
    "sklearn text": (spam, texts[:2], texts),
    "sklearn text, series": (spam, pd.Series(texts[:2], name="text"), texts),
    "sklearn text, array": (spam, np.array(texts[:2], dtype=object), np.array(texts, dtype=object)),
    "own estimator": (beside.Largest().fit(frame[:2]), frame[:2], frame),
    "function": (weigh, frame[:2], frame),
    "lambda": (lambda array: array.sum(axis=1), np.ones((2, 3)), np.arange(6.0).reshape(2, 3)),
    "function with params": (with_params, (frame[:2], {"times": 2}), frame),
    "function of numpy": (np.square, np.ones((2, 2)), np.full((1, 2), 3.0)),
    "PythonModel": (Counter(), texts[:2], texts),
    "PythonModel beside": (beside.Offset(5), (frame[:2], {"negate": False}), frame),
    "object": (beside.Threshold(1.5), frame[:2], frame),
    "dict of arrays": (over, {"x": np.ones((2, 2)), "y": np.array([1, 2])}, {"x": np.ones((3, 2)), "y": np.array([5])}),
    "dict of lists": (spread, {"x": [1.0, 2.0], "y": "abc"}, {"x": [3.0], "y": "z"}),
    "list of dicts": (spread, [{"x": [1.0], "y": "a"}, {"x": [], "y": "b"}], [{"x": [3.0], "y": "zz"}]),
    "all kinds of columns": (describe, kinds, kinds),
    "no example": (weigh, None, frame),
}
root = Path(sys.argv[1])
for name, (model, example, data) in CASES.items():
    inferred = {} if name in ("sklearn frame", "function", "no example") else {"requirements": ["pandas"]}
    servery.save_model(model, root / name, input_example=example, metadata={"case": name}, **inferred)
(root / "inputs.pkl").write_bytes(pickle.dumps({name: case[2] for name, case in CASES.items()}))
'''

PLAIN = '''
def plain(value):
    """A prediction in JSON types, with the name of its type, which must be the same, too."""
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return ["frame", value.to_dict("list")]
    if hasattr(value, "tolist"):
        return [type(value).__name__, str(value.dtype), value.tolist()]
    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value
'''

READER = (
    PLAIN
    + """
import io
import json
import pickle
import sys
from pathlib import Path


class NoServery:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("servery", "servery_worker"):
            raise ImportError(f"{name} is not installed here")


sys.meta_path.insert(0, NoServery())
import mlflow
from mlflow.pyfunc.scoring_server import predictions_to_json


def served(path, example):
    # The body of mlflow's own scoring server for this request.
    body = io.StringIO()
    predictions_to_json(mlflow.models.validate_serving_input(path, example), body)
    return json.loads(body.getvalue())


root = Path(sys.argv[1])
inputs = pickle.loads((root / "inputs.pkl").read_bytes())
report = {}
for name, data in inputs.items():
    path = str(root / name)
    # Each package brings a module of this name; they are all the same.
    model = mlflow.pyfunc.load_model(path)
    metadata = mlflow.models.Model.load(path)
    serving = root / name / "serving_input_example.json"
    report[name] = {
        "prediction": plain(model.predict(data)),
        "served": served(path, serving.read_text()) if serving.exists() else None,
        "dependencies": Path(mlflow.pyfunc.get_model_dependencies(path)).read_text().splitlines(),
        "metadata": metadata.metadata,
        "signature": metadata.signature and metadata.signature.to_dict(),
        "retained": (metadata.to_dict().get("servery"), metadata.mlflow_version),
        "example": plain(metadata.load_input_example(path)),
    }
report["sklearn frame"]["own flavor"] = plain(mlflow.sklearn.load_model(str(root / "sklearn frame")).predict(
    inputs["sklearn frame"]))
report["modules"] = [name for name in sys.modules if name.partition(".")[0] in ("servery", "servery_worker", "beside")]
Path(sys.argv[2]).write_text(json.dumps(report, default=str))
"""
)

CASES = [
    *("sklearn frame", "sklearn array", "sklearn text", "sklearn text, series", "sklearn text, array"),
    *("own estimator", "function", "lambda", "function with params", "function of numpy"),
    *("PythonModel", "PythonModel beside", "object"),
    *("dict of arrays", "dict of lists", "list of dicts", "all kinds of columns", "no example"),
]
WITH_EXAMPLE = [case for case in CASES if case != "no example"]


def run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the author's script saved every case."""
    script = tmp_path_factory.mktemp("author")
    (script / "beside.py").write_text(BESIDE)
    (script / "author.py").write_text(AUTHOR)
    root = tmp_path_factory.mktemp("packages")
    run([str(script / "author.py"), str(root)], root)
    return root


@pytest.fixture(scope="module")
def mlflow_run(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What mlflow says of every case, and what it wrote to the terminal."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "reader.py").write_text(READER)
    errors = run(
        ["-I", "-W", "ignore::FutureWarning", str(folder / "reader.py"), str(packages), str(folder / "report.json")],
        folder,
    )
    return json.loads((folder / "report.json").read_text()), errors


@pytest.fixture(scope="module")
def in_mlflow(mlflow_run: tuple[dict[str, Any], str]) -> dict[str, Any]:
    return mlflow_run[0]


def plain(value: Any) -> Any:
    scope: dict[str, Any] = {}
    exec(PLAIN, scope)
    return json.loads(json.dumps(scope["plain"](value)))


EXPECTED: dict[str, Any] = {
    "sklearn frame": ["ndarray", "int64", [0, 0, 1, 1]],
    "sklearn array": ["ndarray", "int64", [0, 0, 1, 1]],
    "sklearn text": ["ndarray", "int64", [1, 0, 1, 0]],
    "sklearn text, series": ["ndarray", "int64", [1, 0, 1, 0]],
    "sklearn text, array": ["ndarray", "int64", [1, 0, 1, 0]],
    "own estimator": ["ndarray", "float64", [1.0, 2.0, 2.0, 2.0]],
    "function": ["Series", "float64", [13.0, 26.0, 39.0, 52.0]],
    "lambda": ["ndarray", "float64", [3.0, 12.0]],
    "function with params": ["Series", "float64", [6.0, 12.0, 18.0, 24.0]],
    "function of numpy": ["ndarray", "float64", [[9.0, 9.0]]],
    "PythonModel": [2, 0, 2, 1],
    "PythonModel beside": ["Series", "float64", [8.0, 11.0, 14.0, 17.0]],
    "object": [False, True, True, True],
    "dict of arrays": {"x": 6.0, "y": 5.0},
    "dict of lists": [4.0],
    "list of dicts": [5.0],
    "no example": ["Series", "float64", [13.0, 26.0, 39.0, 52.0]],
}


@pytest.mark.parametrize("case", CASES)
def test_mlflow_predicts_what_servery_predicts(case: str, in_mlflow: dict[str, Any], packages: Path) -> None:
    data = pickle.loads((packages / "inputs.pkl").read_bytes())[case]
    ours = plain(load_folder(packages / case).predict(data))
    assert in_mlflow[case]["prediction"] == ours
    assert ours == EXPECTED.get(case, ours)


@pytest.mark.parametrize("case", WITH_EXAMPLE)
def test_the_recorded_answer_is_what_mlflow_serves_for_the_serving_example(
    case: str, in_mlflow: dict[str, Any], packages: Path
) -> None:
    assert json.loads((packages / case / "example_output.json").read_text()) == in_mlflow[case]["served"]


@pytest.mark.parametrize("case", CASES)
def test_mlflow_reads_every_field(case: str, in_mlflow: dict[str, Any], packages: Path) -> None:
    seen = in_mlflow[case]
    assert seen["metadata"] == {"case": case}
    signature = load_folder(packages / case).signature
    ours = (
        None if signature is None else {key: text and json.loads(text) for key, text in signature.to_manifest().items()}
    )
    theirs = seen["signature"] and {key: text and json.loads(text) for key, text in seen["signature"].items()}
    assert theirs == ours
    recorded = None if case == "no example" else {"example_output": "example_output.json"}
    assert seen["retained"] == [recorded, "3.17.2"]


def test_mlflow_reads_the_input_example_back(in_mlflow: dict[str, Any]) -> None:
    assert in_mlflow["sklearn frame"]["example"] == ["frame", {"a": [1.0, 2.0], "n": [1, 2]}]
    assert in_mlflow["sklearn array"]["example"] == ["ndarray", "float64", [[1.0, 1.0], [2.0, 2.0]]]
    assert in_mlflow["sklearn text"]["example"] == ["win money now", "hello friend"]
    assert in_mlflow["function with params"]["example"] == ["frame", {"a": [1.0, 2.0], "n": [1, 2]}]


def test_mlflow_loads_its_own_sklearn_flavor(in_mlflow: dict[str, Any]) -> None:
    assert in_mlflow["sklearn frame"]["own flavor"] == EXPECTED["sklearn frame"]


def test_neither_servery_nor_the_authors_modules_were_imported(in_mlflow: dict[str, Any]) -> None:
    assert in_mlflow["modules"] == []


def test_mlflow_has_nothing_to_warn_about(mlflow_run: tuple[dict[str, Any], str]) -> None:
    warned = [line for line in mlflow_run[1].splitlines() if "WARNING" in line]
    assert warned == []


def names(requirements: list[str]) -> set[str]:
    assert all(line.count("==") == 1 for line in requirements)
    return {line.partition("==")[0] for line in requirements}


def test_requirements_are_what_the_model_imports_at_exact_versions(in_mlflow: dict[str, Any]) -> None:
    of_sklearn = in_mlflow["sklearn frame"]["dependencies"]
    assert {"cloudpickle", "numpy", "pandas", "scikit-learn", "scipy"} <= names(of_sklearn)
    assert not {"servery", "mlflow", "orjson", "joblib", "threadpoolctl", "pyyaml"} & names(of_sklearn)
    assert f"pandas=={pd.__version__}" in of_sklearn
    for case in ("function", "no example"):
        assert {"cloudpickle", "numpy", "pandas"} <= names(in_mlflow[case]["dependencies"])
        assert not {"scikit-learn", "servery", "mlflow"} & names(in_mlflow[case]["dependencies"])
    assert in_mlflow["lambda"]["dependencies"] == ["pandas"]


X, Y = load_iris(return_X_y=True, as_frame=True)


@pytest.mark.parametrize("serialization", ["cloudpickle", "pickle", "skops"])
@pytest.mark.parametrize("kind", ["frame", "array"])
def test_servery_loads_what_mlflow_saves(serialization: str, kind: str, tmp_path: Path) -> None:
    data: Any = X if kind == "frame" else X.to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(data, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            str(tmp_path / "model"),
            input_example=data[:3],
            serialization_format=serialization,
            pip_requirements=["scikit-learn"],
        )
    loaded = load_folder(tmp_path / "model")
    assert np.array_equal(loaded.predict(data), model.predict(data))
    assert loaded.signature is not None


def test_servery_loads_a_forest_that_mlflow_saves_with_skops(tmp_path: Path) -> None:
    model = RandomForestClassifier(n_estimators=3, random_state=0).fit(X, Y)
    mlflow.sklearn.save_model(
        model,
        str(tmp_path / "model"),
        pip_requirements=["scikit-learn"],
        serialization_format="skops",
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )
    assert np.array_equal(load_folder(tmp_path / "model").predict(X), model.predict(X))
