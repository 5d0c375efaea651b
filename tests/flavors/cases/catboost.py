"""CatBoost: each of its classes, with numbers and with categories, in each form that mlflow's flavor reads again."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from tests.flavors.case import Case

_REQUIREMENTS = ["catboost"]
"""Given, because mlflow would take seconds to find them for each model; the group's environment has them."""


def cases() -> list[Case]:
    return [
        Case("CatBoost", _plain, _save, _rows),
        Case("CatBoost, json", _plain, functools.partial(_save, format="json"), _rows),
        Case("CatBoost, without a signature", _plain, _save_bare, _arrays),
        Case("regressor", _regressor, _save, _rows),
        Case("classifier", _classifier, _save, _rows),
        Case("classifier of three labels", _labels, _save, _rows),
        Case("classifier with categories", _categories, _save_categories, _category_rows),
        Case("ranker", _ranker, _save, _rows),
    ]


def _data() -> Any:
    """Diabetes: doubles, with some of them missing."""
    from sklearn.datasets import load_diabetes

    data, target = load_diabetes(return_X_y=True, as_frame=True)
    data.loc[::7, "bmi"] = None
    return data, target


def _category_data() -> Any:
    """Diabetes, with a column of texts and one of whole numbers that are names."""
    data, target = _data()
    data["age"] = data["age"].map(lambda age: "young" if age < 0 else "old")
    data["sex"] = (data["sex"] > 0).astype("int64")
    return data, target


_KEYS = {"iterations": 8, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False}


def _plain() -> Any:
    import catboost

    return catboost.CatBoost({**_KEYS, "loss_function": "RMSE"}).fit(*_data())


def _regressor() -> Any:
    import catboost

    return catboost.CatBoostRegressor(**_KEYS).fit(*_data())


def _classifier() -> Any:
    import catboost

    data, target = _data()
    return catboost.CatBoostClassifier(**_KEYS).fit(data, (target > 140).astype(int))


def _labels() -> Any:
    import catboost

    data, target = _data()
    labels = target.map(lambda value: "high" if value > 200 else "low" if value < 100 else "between")
    return catboost.CatBoostClassifier(**_KEYS).fit(data, labels)


def _categories() -> Any:
    import catboost

    data, target = _category_data()
    return catboost.CatBoostClassifier(**_KEYS, cat_features=["age", "sex"]).fit(data, (target > 140).astype(int))


def _ranker() -> Any:
    import catboost

    data, target = _data()
    groups = [row // 42 for row in range(len(data))]
    return catboost.CatBoostRanker(**_KEYS).fit(data, target // 40, group_id=groups)


def _save(model: Any, folder: str, **how: Any) -> None:
    import mlflow.catboost
    from mlflow.models import infer_signature

    data, _ = _data()
    mlflow.catboost.save_model(
        model, folder, pip_requirements=_REQUIREMENTS, signature=infer_signature(data, model.predict(data)), **how
    )


def _save_categories(model: Any, folder: str) -> None:
    import mlflow.catboost
    from mlflow.models import infer_signature

    data, _ = _category_data()
    mlflow.catboost.save_model(
        model, folder, pip_requirements=_REQUIREMENTS, signature=infer_signature(data, model.predict(data))
    )


def _save_bare(model: Any, folder: str) -> None:
    import mlflow.catboost

    mlflow.catboost.save_model(model, folder, pip_requirements=_REQUIREMENTS)


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


def _category_rows() -> Sequence[Any]:
    data, _ = _category_data()
    return [data[:3], data[5:6], data[100:160], data[data.columns[::-1]][20:25], data[:3].assign(age="unseen", sex=7)]


def _arrays() -> Sequence[Any]:
    data, _ = _data()
    array = data.to_numpy()
    return [array[:3], array[100:101], array[8:20]]
