"""LightGBM: its Booster as text, and its estimators in each serialization that mlflow writes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from tests.flavors import diabetes
from tests.flavors.case import Case

_REQUIREMENTS = ["lightgbm"]
"""Given, because mlflow would take seconds to find them for each model; the group's environment has them."""

_TYPES = ("collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMRanker")


def cases() -> list[Case]:
    found = [
        Case("booster", _booster, _save, diabetes.rows),
        Case("booster of two classes", _booster_of_classes, _save, diabetes.rows),
        Case("booster, saved as before mlflow 1.23", _booster, _save_without_class, diabetes.rows),
        Case("booster, without a signature", _booster, _save_bare, diabetes.arrays),
        Case("classifier", _classifier, _save, diabetes.rows),
        Case("classifier of text labels", _labels, _save, diabetes.rows),
        Case("regressor", _regressor, _save, diabetes.rows),
        Case("pipeline that holds a classifier", _pipeline, _save_pipeline, diabetes.rows),
    ]
    import mlflow

    if int(mlflow.__version__.partition(".")[0]) >= 3:
        # Before, there was cloudpickle only, and no choice.
        for form in ("skops", "cloudpickle", "pickle"):
            found.append(Case(f"ranker, {form}", _ranker, functools.partial(_save_as, form=form), diabetes.rows))
    return found


def _train(params: dict[str, Any]) -> Any:
    import lightgbm

    data, target = diabetes.data()
    labels = target > 140 if params["objective"] == "binary" else target
    params = {"verbose": -1, "num_threads": 1, **params}
    return lightgbm.train(params, lightgbm.Dataset(data, labels), num_boost_round=8)


def _booster() -> Any:
    return _train({"objective": "regression"})


def _booster_of_classes() -> Any:
    return _train({"objective": "binary"})


def _classifier() -> Any:
    import lightgbm

    data, target = diabetes.data()
    return lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1).fit(data, target > 140)


def _labels() -> Any:
    import lightgbm

    data, target = diabetes.data()
    labels = target.map(lambda value: "high" if value > 200 else "low" if value < 100 else "between")
    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(data, labels)


def _regressor() -> Any:
    import lightgbm

    return lightgbm.LGBMRegressor(n_estimators=8, verbose=-1, n_jobs=1).fit(*diabetes.data())


def _ranker() -> Any:
    import lightgbm

    data, target = diabetes.data()
    return lightgbm.LGBMRanker(n_estimators=5, verbose=-1, n_jobs=1).fit(data, target // 40, group=[221, 221])


def _pipeline() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, target = diabetes.data()
    return make_pipeline(StandardScaler(), _unfitted()).fit(data, target > 140)


def _unfitted() -> Any:
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)


def _signature(model: Any) -> Any:
    from mlflow.models import infer_signature

    data, _ = diabetes.data()
    return infer_signature(data, model.predict(data))


def _save(model: Any, folder: str) -> None:
    import mlflow.lightgbm

    mlflow.lightgbm.save_model(model, folder, pip_requirements=_REQUIREMENTS, signature=_signature(model))


def _save_as(model: Any, folder: str, *, form: str) -> None:
    import mlflow.lightgbm

    asked = {"skops_trusted_types": list(_TYPES)} if form == "skops" else {}
    mlflow.lightgbm.save_model(
        model, folder, pip_requirements=_REQUIREMENTS, signature=_signature(model), serialization_format=form, **asked
    )


def _save_pipeline(model: Any, folder: str) -> None:
    import mlflow.sklearn

    mlflow.sklearn.save_model(
        model, folder, pip_requirements=_REQUIREMENTS, signature=_signature(model), serialization_format="cloudpickle"
    )


def _save_bare(model: Any, folder: str) -> None:
    import mlflow.lightgbm

    mlflow.lightgbm.save_model(model, folder, pip_requirements=_REQUIREMENTS)


def _save_without_class(model: Any, folder: str) -> None:
    import yaml

    _save(model, folder)
    path = Path(folder, "MLmodel")
    fields = yaml.safe_load(path.read_text())
    fields["flavors"]["lightgbm"] = {key: fields["flavors"]["lightgbm"][key] for key in ("data", "lgb_version")}
    path.write_text(yaml.safe_dump(fields))
