"""XGBoost: its Booster and its estimators, in each form that mlflow writes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.flavors import diabetes
from tests.flavors.case import Case

_REQUIREMENTS = ["xgboost"]
"""Given, because mlflow would take seconds to find them for each model; the group's environment has them."""

_PARAMS: dict[str, Any] = {"output_margin": False, "iteration_range": [0, 0], "no_such": 1}


def cases() -> list[Case]:
    found = [
        Case("booster, ubj", _booster, _save_as("ubj"), diabetes.rows),
        Case("booster, json", _booster, _save_as("json"), diabetes.rows),
        Case("booster, xgb", _booster, _save_as("xgb"), diabetes.rows),
        Case("booster, saved as before mlflow 1.22", _booster, _save_without_class, diabetes.rows),
        Case("booster of arrays, without a signature", _booster_of_arrays, _save_bare, diabetes.arrays),
        Case("classifier", _classifier, _save_as("ubj"), diabetes.rows),
        Case("classifier of three kinds, json", _three_kinds, _save_flowers, _flowers),
        Case("regressor", _regressor, _save_as("ubj"), diabetes.rows),
        Case("random forest", _forest, _save_as("ubj"), diabetes.rows),
        Case("ranker", _ranker, _save_as("ubj"), diabetes.rows),
    ]
    import mlflow

    if tuple(map(int, mlflow.__version__.split(".")[:2])) >= (2, 22):
        # Before, params did not reach the model.
        found.append(Case("booster, with params", _booster, _save_with_params, _rows_with_params))
        found.append(Case("regressor, with params", _regressor, _save_with_params, _rows_with_params))
    return found


def _booster() -> Any:
    import xgboost

    data, target = diabetes.data()
    return xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(data, target), num_boost_round=8)


def _booster_of_arrays() -> Any:
    import xgboost

    data, target = diabetes.data()
    matrix = xgboost.DMatrix(data.to_numpy(), target.to_numpy())
    return xgboost.train({"max_depth": 3, "nthread": 1}, matrix, num_boost_round=8)


def _classifier() -> Any:
    import xgboost

    data, target = diabetes.data()
    return xgboost.XGBClassifier(n_estimators=8, n_jobs=1).fit(data, target > 140)


def _three_kinds() -> Any:
    import xgboost
    from sklearn.datasets import load_iris

    return xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(*load_iris(return_X_y=True, as_frame=True))


def _regressor() -> Any:
    import xgboost

    return xgboost.XGBRegressor(n_estimators=8, n_jobs=1).fit(*diabetes.data())


def _forest() -> Any:
    import xgboost

    return xgboost.XGBRFRegressor(n_estimators=8, n_jobs=1, random_state=1).fit(*diabetes.data())


def _ranker() -> Any:
    import xgboost

    data, target = diabetes.data()
    return xgboost.XGBRanker(n_estimators=5, n_jobs=1).fit(data, target // 40, qid=[row // 42 for row in range(442)])


def _signature(params: dict[str, Any] | None = None) -> Any:
    from mlflow.models import infer_signature

    data, target = diabetes.data()
    return infer_signature(data, target, params)


def _save(model: Any, folder: str, *, form: str) -> None:
    import mlflow.xgboost

    mlflow.xgboost.save_model(model, folder, pip_requirements=_REQUIREMENTS, signature=_signature(), model_format=form)


def _save_as(form: str) -> Any:
    return functools.partial(_save, form=form)


def _save_without_class(model: Any, folder: str) -> None:
    import yaml

    _save(model, folder, form="xgb")
    path = Path(folder, "MLmodel")
    fields = yaml.safe_load(path.read_text())
    fields["flavors"]["xgboost"] = {key: fields["flavors"]["xgboost"][key] for key in ("data", "xgb_version")}
    path.write_text(yaml.safe_dump(fields))


def _save_bare(model: Any, folder: str) -> None:
    import mlflow.xgboost

    mlflow.xgboost.save_model(model, folder, pip_requirements=_REQUIREMENTS)


def _save_flowers(model: Any, folder: str) -> None:
    import mlflow.xgboost
    from mlflow.models import infer_signature

    data = _flowers()[1]
    mlflow.xgboost.save_model(
        model,
        folder,
        pip_requirements=_REQUIREMENTS,
        signature=infer_signature(data, model.predict(data)),
        model_format="json",
    )


def _save_with_params(model: Any, folder: str) -> None:
    import mlflow.xgboost

    mlflow.xgboost.save_model(model, folder, pip_requirements=_REQUIREMENTS, signature=_signature(_PARAMS))


def _rows_with_params() -> Sequence[Any]:
    data, _ = diabetes.data()
    given: list[dict[str, Any]] = [
        _PARAMS,
        {"output_margin": True},
        {"iteration_range": [0, 3]},
        {"no_such": 5},
        {"output_margin": True, "iteration_range": [2, 4]},
    ]
    return [(data[:3], each) for each in given] + [data[:3]]


def _flowers() -> Sequence[Any]:
    from sklearn.datasets import load_iris

    data, _ = load_iris(return_X_y=True, as_frame=True)
    return [data[:3], data, data[70:71]]
