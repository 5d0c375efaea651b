"""LightGBM: its Booster as text, and its estimators in each serialization that mlflow writes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.flavors.case import Case

_REQUIREMENTS = ["lightgbm"]
"""Given, because mlflow would take seconds to find them for each model; the group's environment has them."""

_TYPES = ("collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMRanker")


def cases() -> list[Case]:
    found = [
        Case("booster", _booster, _save, _rows),
        Case("booster of two classes", _booster_of_classes, _save, _rows),
        Case("booster, saved as before mlflow 1.23", _booster, _save_without_class, _rows),
        Case("booster, without a signature", _booster, _save_bare, _arrays),
        Case("classifier", _classifier, _save, _rows),
        Case("classifier of text labels", _labels, _save, _rows),
        Case("regressor", _regressor, _save, _rows),
        Case("pipeline that holds a classifier", _pipeline, _save_pipeline, _rows),
    ]
    import mlflow

    if int(mlflow.__version__.partition(".")[0]) >= 3:
        # Before, there was cloudpickle only, and no choice.
        for form in ("skops", "cloudpickle", "pickle"):
            found.append(Case(f"ranker, {form}", _ranker, functools.partial(_save_as, form=form), _rows))
    return found


def _data() -> Any:
    """Diabetes: doubles, with some of them missing."""
    from sklearn.datasets import load_diabetes

    data, target = load_diabetes(return_X_y=True, as_frame=True)
    data.loc[::7, "bmi"] = None
    return data, target


def _train(params: dict[str, Any]) -> Any:
    import lightgbm

    data, target = _data()
    labels = target > 140 if params["objective"] == "binary" else target
    params = {"verbose": -1, "num_threads": 1, **params}
    return lightgbm.train(params, lightgbm.Dataset(data, labels), num_boost_round=8)


def _booster() -> Any:
    return _train({"objective": "regression"})


def _booster_of_classes() -> Any:
    return _train({"objective": "binary"})


def _classifier() -> Any:
    import lightgbm

    data, target = _data()
    return lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1).fit(data, target > 140)


def _labels() -> Any:
    import lightgbm

    data, target = _data()
    labels = target.map(lambda value: "high" if value > 200 else "low" if value < 100 else "between")
    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(data, labels)


def _regressor() -> Any:
    import lightgbm

    return lightgbm.LGBMRegressor(n_estimators=8, verbose=-1, n_jobs=1).fit(*_data())


def _ranker() -> Any:
    import lightgbm

    data, target = _data()
    return lightgbm.LGBMRanker(n_estimators=5, verbose=-1, n_jobs=1).fit(data, target // 40, group=[221, 221])


def _pipeline() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, target = _data()
    return make_pipeline(StandardScaler(), _unfitted()).fit(data, target > 140)


def _unfitted() -> Any:
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)


def _signature(model: Any) -> Any:
    from mlflow.models import infer_signature

    data, _ = _data()
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


def _rows() -> Sequence[Any]:
    data, _ = _data()
    whole = data[10:20].assign(s6=0).astype({"s6": "int32"})
    return [
        data[:3],
        data[5:6],
        data[100:160],
        data[data.columns[::-1]][20:25],
        whole,
        data[7:8],
        data[:2].assign(more=1),
    ]


def _arrays() -> Sequence[Any]:
    data, _ = _data()
    array = data.to_numpy()
    return [array[:3], array[100:101], array[8:20]]
