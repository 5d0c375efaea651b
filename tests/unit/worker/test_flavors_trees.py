"""scikit-learn, XGBoost and LightGBM: what is trusted, what is row-wise, and what damaged packages are told."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import lightgbm
import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]
import skops.io
import xgboost
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from servery.errors import InvalidInput
from servery.package import flavors
from servery_worker.flavors import Loaded, LoadError, load_flavor
from servery_worker.flavors.sklearn import row_wise
from servery_worker.trusted import is_trusted

X, Y = np.abs(np.sin(np.arange(80.0))).reshape(40, 2), np.arange(40) % 2


def package(loader: str, name: str, own: dict[str, Any], **entry: Any) -> dict[str, Any]:
    function = {"loader_module": f"mlflow.{loader}", "data": name, **entry}
    return {"flavors": {"python_function": function, loader: {"data": name, **own}}}


def loaded(folder: Path, mlmodel: dict[str, Any]) -> Loaded:
    return load_flavor(str(folder), mlmodel)[1]


def booster() -> xgboost.Booster:
    return xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, Y), 4)


def light_booster() -> lightgbm.Booster:
    return lightgbm.train({"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}, lightgbm.Dataset(X, Y), 4)


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.tree._tree.Tree",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process.kernels.RBF",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMRanker",
        "collections.OrderedDict",
    ],
)
def test_a_type_that_holds_what_was_learned_is_trusted(name: str) -> None:
    assert is_trusted(name)


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval",
        "os.system",
        "numpy.memmap",
        "numpy.load",
        "scipy.stats._continuous_distns.uniform_gen",
        "sklearn.base.clone",
        "sklearn.callback._transport.Manager",
        "sklearn.datasets._base.load_files",
        "sklearn.externals._arff.loads",
        "sklearn.linear_model._logistic.LogisticRegression.fit",
        "sklearn.metrics._classification.warnings",
        "sklearn.metrics._scorer.partial",
        "sklearn.no_such_part.Thing",
        "sklearn.pipeline.tests.Thing",
        "sklearn.tree._export.export_graphviz",
        "sklearn.tree.no_such_module.Thing",
        "xgboost.callback.TrainingCheckPoint",
        "lightgbm.engine.CVBooster",
        "Thing",
        "",
    ],
)
def test_no_other_type_is_trusted(name: str) -> None:
    assert not is_trusted(name)


def test_a_distribution_of_scipy_does_not_run_the_source_text_that_its_state_holds(tmp_path: Path) -> None:
    distribution = type(scipy.stats.uniform)()
    distribution._parse_arg_template = f"open({str(tmp_path / 'ran')!r}, 'w').close()"
    skops.io.dump(LogisticRegression(C=distribution), tmp_path / "model.skops")
    with pytest.raises(LoadError, match=r"types that are not trusted: scipy.stats._continuous_distns.uniform_gen"):
        loaded(tmp_path, package("sklearn", "model.skops", {"serialization_format": "skops"}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(SelectKBest(f_classif, k=1), DecisionTreeClassifier()),
        make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=2, n_jobs=1)),
        make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1)),
    ],
    ids=["chosen columns", "xgboost", "lightgbm"],
)
def test_a_pipeline_of_known_parts_is_read_from_skops(model: Any, tmp_path: Path) -> None:
    skops.io.dump(model.fit(X, Y), tmp_path / "model.skops")
    predict, by_row, _ = loaded(tmp_path, package("sklearn", "model.skops", {"serialization_format": "skops"}))
    assert (predict(X, None) == model.predict(X)).all()
    assert by_row


def searched(step: Any) -> GridSearchCV:
    """A search whose best pipeline has ``step``, which the search's own params name in a list only."""
    pipeline = Pipeline([("step", "passthrough"), ("model", LogisticRegression())])
    return GridSearchCV(pipeline, {"step": [step]}, cv=2).fit(X, Y)


class Centred(BaseEstimator):  # type: ignore[misc]
    """An estimator of one's own."""

    def fit(self, data: Any, target: Any = None) -> Centred:
        return self


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()), True),
        (make_pipeline(StandardScaler(), xgboost.XGBClassifier()), True),
        (make_pipeline(FunctionTransformer(lambda data: data - data.mean()), LogisticRegression()), None),
        (make_pipeline(NMF(), LogisticRegression()), None),
        (make_pipeline(Centred(), LogisticRegression()), None),
        (DummyClassifier(strategy="uniform"), None),
        (GradientBoostingClassifier(n_estimators=2).fit(X, Y), True),
        (searched(FunctionTransformer(lambda data: data - data.mean())), None),
        (searched(StandardScaler()), True),
        (object(), None),
    ],
    ids=[
        "own parts",
        "trees inside",
        "a function",
        "settles as a whole",
        "one's own",
        "by lot",
        "boosted",
        "chosen function",
        "chosen scaler",
        "no estimator",
    ],
)
def test_only_what_is_made_of_known_parts_is_row_wise_without_a_proof(model: Any, expected: bool | None) -> None:
    assert row_wise(model) is expected


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_rows_stay_apart_where_each_target_has_its_own_probabilities(method: str, tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(X, np.column_stack([Y, 1 - Y]))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    assert loaded(tmp_path, package("sklearn", "model.pkl", {}, predict_fn=method)).row_wise is False
    assert loaded(tmp_path, package("sklearn", "model.pkl", {}, predict_fn="predict")).row_wise is True


def test_a_score_is_given_the_input_alone(tmp_path: Path) -> None:
    clusters = KMeans(2, n_init=1, random_state=0).fit(X)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(clusters))
    predict, by_row, _ = loaded(tmp_path, package("sklearn", "model.pkl", {}, predict_fn="score"))
    assert predict(X, None) == pytest.approx(clusters.score(X))
    assert by_row is False
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(LogisticRegression().fit(X, Y)))
    with pytest.raises(TypeError, match="'y'"):
        loaded(tmp_path, package("sklearn", "model.pkl", {}, predict_fn="score")).predict(X, None)


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_an_xgboost_model_without_a_class_is_a_booster(form: str, tmp_path: Path) -> None:
    booster().save_model(tmp_path / f"model.{form}")
    predict, by_row, _ = loaded(tmp_path, package("xgboost", f"model.{form}", {}))
    assert predict(X, None) == pytest.approx(booster().predict(xgboost.DMatrix(X)))
    assert by_row


def test_params_are_the_arguments_of_xgboosts_predict_and_unknown_ones_are_left_out(tmp_path: Path) -> None:
    model = booster()
    model.save_model(tmp_path / "model.ubj")
    predict = loaded(tmp_path, package("xgboost", "model.ubj", {})).predict
    expected = model.predict(xgboost.DMatrix(X), iteration_range=(0, 2), output_margin=True)
    given = {"iteration_range": [0, 2], "output_margin": True, "no_such": 1}
    assert predict(X, given) == pytest.approx(expected)


def test_an_xgboost_estimator_is_of_the_class_that_its_package_names(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, Y)
    model.save_model(tmp_path / "model.ubj")
    mlmodel = package("xgboost", "model.ubj", {"model_class": "xgboost.sklearn.XGBClassifier"})
    assert (loaded(tmp_path, mlmodel).predict(X, None) == model.predict(X)).all()


@pytest.mark.parametrize(
    "dump", [pickle.dumps, cloudpickle.dumps, skops.io.dumps], ids=["pickle", "cloudpickle", "skops"]
)
def test_a_lightgbm_estimator_is_read_in_each_serialization(
    dump: Callable[[Any], bytes], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, verbose=-1, min_child_samples=2).fit(X, Y)
    (tmp_path / "model").write_bytes(dump(model))
    own = {"model_class": "lightgbm.sklearn.LGBMRegressor", "serialization_format": request.node.callspec.id}
    predict, by_row, _ = loaded(tmp_path, package("lightgbm", "model", own))
    assert predict(X, None) == pytest.approx(model.predict(X))
    assert by_row


def test_a_lightgbm_model_without_a_class_is_a_booster(tmp_path: Path) -> None:
    light_booster().save_model(tmp_path / "model.lgb")
    predict = loaded(tmp_path, package("lightgbm", "model.lgb", {})).predict
    assert predict(X, None) == pytest.approx(light_booster().predict(X))


@pytest.mark.parametrize("model", [booster(), light_booster()], ids=["xgboost", "lightgbm"])
def test_a_callers_text_is_not_taken_for_the_name_of_a_file(model: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("0 1:2\n")
    predict = flavors.save(model, tmp_path).predict
    for text in (str(secret), f"{secret}?format=libsvm"):
        with pytest.raises(TypeError, match="expected to be a table or an array"):
            predict(text, None)


@pytest.mark.parametrize(
    ("loader", "own", "data", "cause"),
    [
        ("xgboost", {}, None, r"The package has no file 'model\.ubj', where its MLmodel says"),
        ("xgboost", {}, b"", r"The model in 'model\.ubj' does not load as xgboost\.core\.Booster: "),
        (
            "xgboost",
            {"model_class": "xgboost.Gone"},
            b"",
            r"'model\.ubj' is of the class 'xgboost\.Gone', which is none",
        ),
        ("xgboost", {"model_class": "nowhere.Thing"}, b"", r"'model\.ubj' needs nowhere, which its environment"),
        ("xgboost", {"model_class": "Thing"}, b"", r"'model\.ubj' is of the class 'Thing', which is none"),
        ("lightgbm", {}, None, r"The package has no file 'model\.ubj', where its MLmodel says"),
        ("lightgbm", {}, b"", r"The model in 'model\.ubj' does not load as lightgbm\.basic\.Booster: "),
        ("lightgbm", {}, b"tree\nversion=v4\n", r"'model\.ubj' does not load as lightgbm\.basic\.Booster: "),
        ("lightgbm", {"model_class": "a.B"}, b"\x80", r"The model in 'model\.ubj' does not load: "),
        ("lightgbm", {"model_class": "a.B"}, pickle.dumps({}), r"'model\.ubj', a dict, has no method 'predict'"),
        ("lightgbm", {"model_class": "a.B", "serialization_format": "zip"}, b"", r"'model\.ubj' is saved as 'zip'"),
        ("lightgbm", {"model_class": "a.B", "serialization_format": "skops"}, b"PK", r"'model\.ubj' does not load: "),
        ("sklearn", {}, b"", r"The model in 'model\.ubj' does not load: EOFError"),
        (
            "sklearn",
            {"serialization_format": "zip"},
            b"",
            r"'model\.ubj' is saved as 'zip'; expected cloudpickle, pickle",
        ),
        ("sklearn", {"serialization_format": "skops"}, None, r"The package has no file 'model\.ubj'"),
        ("sklearn", {"serialization_format": "skops"}, b"PK", r"The model in 'model\.ubj' does not load: "),
        ("catboost", {"model_type": "CatBoost"}, None, r"The package has no file 'model\.ubj'"),
        (
            "catboost",
            {"model_type": "CatBoost"},
            b"",
            r"'model\.ubj' needs catboost, which its environment does not have",
        ),
    ],
)
def test_a_damaged_package_is_told_by_its_files_name(
    loader: str, own: dict[str, Any], data: bytes | None, cause: str, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / "model.ubj").write_bytes(data)
    with pytest.raises(LoadError, match=cause):
        loaded(tmp_path, package(loader, "model.ubj", own))


@pytest.mark.parametrize(
    ("model", "flavor", "file", "kind"),
    [
        (booster(), "xgboost", "model.ubj", "xgboost.core.Booster"),
        (xgboost.XGBRFClassifier(n_jobs=1).fit(X, Y), "xgboost", "model.ubj", "xgboost.sklearn.XGBRFClassifier"),
        (light_booster(), "lightgbm", "model.lgb", "lightgbm.basic.Booster"),
        (
            lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1).fit(X, Y),
            "lightgbm",
            "model.pkl",
            "lightgbm.sklearn.LGBMClassifier",
        ),
        (make_pipeline(xgboost.XGBClassifier(n_estimators=2, n_jobs=1)).fit(X, Y), "sklearn", "model.pkl", None),
        (DecisionTreeClassifier().fit(X, Y), "sklearn", "model.pkl", None),
    ],
    ids=["booster", "forest", "light booster", "light classifier", "pipeline", "tree"],
)
def test_what_is_saved_is_read_by_its_own_flavor(
    model: Any, flavor: str, file: str, kind: str | None, tmp_path: Path
) -> None:
    saved = flavors.save(model, tmp_path)
    assert saved.flavor == flavor
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert saved.entries[flavor].get("model_class") == kind
    predict = loaded(tmp_path, {"flavors": saved.entries}).predict
    assert predict(X, None) == pytest.approx(saved.predict(X, None))


class OwnClassifier(xgboost.XGBClassifier):  # type: ignore[misc]
    """XGBoost's file would not hold what it adds."""


def test_an_authors_own_xgboost_class_is_pickled(tmp_path: Path) -> None:
    assert flavors.save(OwnClassifier(n_estimators=2, n_jobs=1).fit(X, Y), tmp_path).flavor == "sklearn"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (xgboost.XGBRegressor(missing=-1.0).fit(X, Y), "Invalid value for 'model': expected missing=nan"),
        (xgboost.XGBRegressor(), "Invalid value for 'model': expected a model that XGBoost can save"),
        (StandardScaler().fit(X), "Invalid value for 'model': expected a model of a framework"),
    ],
    ids=["another missing value", "not fitted", "a transformer alone"],
)
def test_a_model_that_its_file_would_not_hold_is_not_saved(model: Any, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        flavors.save(model, tmp_path)
    assert expected in str(caught.value)
