"""Loading a package's model by its loader_module."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from servery.package.flavors import servery_python_model
from servery_worker.predictor import LoadError, load

X, Y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])


class Homemade(BaseEstimator):  # type: ignore[misc]
    """An estimator that skops does not know."""

    def predict(self, data: Any) -> Any:
        return [0] * len(data)


def sklearn_package(folder: Path, name: str = "model.pkl", **entries: Any) -> dict[str, Any]:
    own = {key: value for key, value in entries.items() if key == "serialization_format"}
    function = {key: value for key, value in entries.items() if key != "serialization_format"}
    return {
        "flavors": {
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": name, **function},
            **({"sklearn": own} if own else {}),
        }
    }


def test_a_sklearn_model_without_a_flavor_entry_is_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LinearRegression().fit(X, Y)))
    predictor = load(str(tmp_path), sklearn_package(tmp_path))
    assert predictor.flavor == "sklearn"
    assert predictor.batchable
    assert predictor.predict(X).shape == (3,)


def test_what_joblib_wrote_is_read(tmp_path: Path) -> None:
    joblib.dump(LinearRegression().fit(X, Y), tmp_path / "model.pkl")
    assert load(str(tmp_path), sklearn_package(tmp_path)).predict(X).shape == (3,)


def test_cloudpickle_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps(LinearRegression().fit(X, Y)))
    mlmodel = sklearn_package(tmp_path, serialization_format="cloudpickle")
    assert load(str(tmp_path), mlmodel).predict(X).shape == (3,)


@pytest.mark.parametrize(
    "model", [LinearRegression(), RandomForestClassifier(3)], ids=lambda model: type(model).__name__
)
def test_skops_is_read_where_it_holds_what_scikit_learn_is_made_of(model: Any, tmp_path: Path) -> None:
    skops.io.dump(model.fit(X, Y), tmp_path / "model.skops")
    mlmodel = sklearn_package(tmp_path, "model.skops", serialization_format="skops")
    assert load(str(tmp_path), mlmodel).predict(X).shape == (3,)


def test_types_that_a_package_asks_to_trust_are_not_trusted(tmp_path: Path) -> None:
    skops.io.dump(Homemade(), tmp_path / "model.skops")
    mlmodel = sklearn_package(tmp_path, "model.skops", serialization_format="skops")
    mlmodel["flavors"]["sklearn"]["skops_trusted_types"] = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    with pytest.raises(LoadError, match=r"The model in 'model.skops' holds types that are not trusted: .*Homemade"):
        load(str(tmp_path), mlmodel)


def test_another_predict_function_is_called(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(RandomForestClassifier(3).fit(X, Y)))
    predictor = load(str(tmp_path), sklearn_package(tmp_path, predict_fn="predict_proba"))
    assert predictor.predict(X).shape == (3, 2)
    assert predictor.batchable


def test_a_score_is_of_all_rows_so_it_is_never_batched(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(RandomForestClassifier(3).fit(X, Y)))
    assert not load(str(tmp_path), sklearn_package(tmp_path, predict_fn="score")).batchable


@pytest.mark.parametrize(
    ("mlmodel", "cause"),
    [
        ({}, "The package's MLmodel file has no flavor python_function."),
        (
            {"flavors": {"python_function": {"loader_module": "no_such_loader"}}},
            (
                "The package's loader_module 'no_such_loader' cannot be imported: "
                "ModuleNotFoundError: No module named 'no_such_loader'."
            ),
        ),
        (
            {"flavors": {"python_function": {"loader_module": "mlflow.sklearn", "model_path": "absent.pkl"}}},
            "The package has no file 'absent.pkl', where its MLmodel says that the model lies.",
        ),
        (
            {"flavors": {"python_function": {"loader_module": "mlflow.sklearn", "model_path": "broken.pkl"}}},
            "The model in 'broken.pkl' does not load: ModuleNotFoundError: No module named 'nothing_there'.",
        ),
        (
            {"flavors": {"python_function": {"loader_module": "mlflow.sklearn", "predict_fn": "rate"}}},
            "The model, a LinearRegression, has no method 'rate'.",
        ),
        (
            {"flavors": {"python_function": {"loader_module": "mlflow.sklearn", "code": "code"}}},
            "The package has no folder 'code', where its MLmodel says that code lies.",
        ),
        (
            {
                "flavors": {"python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"}},
                "signature": {"inputs": '[{"type": "colour", "name": "a"}]'},
            },
            (
                "The signature in the package's MLmodel cannot be read: "
                "'signature.inputs[0]' has the unknown type 'colour'."
            ),
        ),
    ],
    ids=["no flavor", "unknown", "no file", "broken", "no method", "no code", "signature"],
)
def test_a_model_that_does_not_load_says_why_in_a_sentence(mlmodel: Any, cause: str, tmp_path: Path) -> None:
    (tmp_path / "broken.pkl").write_bytes(b"cnothing_there\nthing\n.")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LinearRegression()))
    with pytest.raises(LoadError) as caught:
        load(str(tmp_path), mlmodel)
    assert str(caught.value) == cause


def python_package(folder: Path, model: Any) -> dict[str, Any]:
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    (folder / "code").mkdir(exist_ok=True)
    shutil.copy(servery_python_model.__file__, folder / "code")
    entry = {"loader_module": "servery_python_model", "data": "model.pkl", "code": "code"}
    return {"flavors": {"python_function": entry}}


def test_a_function_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    predictor = load(str(tmp_path), python_package(tmp_path, lambda data: [item * 2 for item in data]))
    assert predictor.flavor == "loader_module"
    assert not predictor.batchable  # Nobody knows before it is proved.
    assert predictor.predict([1, 2]) == [2, 4]


def test_params_reach_a_model_that_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))

    class Model:
        def predict(self, model_input: Any, params: Any = None) -> Any:
            return [params]

    mlmodel = python_package(tmp_path, Model())
    mlmodel["signature"] = {"params": '[{"name": "limit", "type": "long", "default": 5, "shape": null}]'}
    assert load(str(tmp_path), mlmodel).predict([1], {"limit": 3}) == [{"limit": 3}]
    assert load(str(tmp_path), mlmodel).predict([1]) == [{"limit": 5}]


def test_the_code_of_a_package_is_found_and_its_inner_folders_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    mlmodel = python_package(tmp_path, lambda data: __import__("rates_of_package").RATE)
    (tmp_path / "code" / "rates_of_package.py").write_text("RATE = 7\n")
    (tmp_path / "code" / "inner").mkdir()
    (tmp_path / "code" / "inner" / "json.py").write_text("raise ImportError\n")
    assert load(str(tmp_path), mlmodel).predict([1]) == 7
    assert sys.path[0] == str(tmp_path / "code")
    assert sys.path[-1] == str(tmp_path / "code" / "inner")
