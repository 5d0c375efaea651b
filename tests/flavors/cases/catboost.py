"""CatBoost: each of its classes, with numbers and with categories, in each form that mlflow's flavor reads again."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from tests.flavors import diabetes
from tests.flavors.case import Case

_REQUIREMENTS = ["catboost"]
"""Given, because mlflow would take seconds to find them for each model; the group's environment has them."""


def cases() -> list[Case]:
    return [
        Case("CatBoost", _plain, _save, diabetes.rows),
        Case("CatBoost, json", _plain, functools.partial(_save, format="json"), diabetes.rows),
        Case("CatBoost, without a signature", _plain, _save_bare, diabetes.arrays),
        Case("regressor", _regressor, _save, diabetes.rows),
        Case("classifier", _classifier, _save, diabetes.rows),
        Case("classifier of three labels", _labels, _save, diabetes.rows),
        Case("classifier with categories", _categories, _save_categories, _category_rows),
        Case("ranker", _ranker, _save, diabetes.rows),
    ]


def _category_data() -> Any:
    """Diabetes, with a column of texts and one of whole numbers that are names."""
    data, target = diabetes.data()
    data["age"] = data["age"].map(lambda age: "young" if age < 0 else "old")
    data["sex"] = (data["sex"] > 0).astype("int64")
    return data, target


_KEYS = {"iterations": 8, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False}


def _plain() -> Any:
    import catboost

    return catboost.CatBoost({**_KEYS, "loss_function": "RMSE"}).fit(*diabetes.data())


def _regressor() -> Any:
    import catboost

    return catboost.CatBoostRegressor(**_KEYS).fit(*diabetes.data())


def _classifier() -> Any:
    import catboost

    data, target = diabetes.data()
    return catboost.CatBoostClassifier(**_KEYS).fit(data, (target > 140).astype(int))


def _labels() -> Any:
    import catboost

    data, target = diabetes.data()
    labels = target.map(lambda value: "high" if value > 200 else "low" if value < 100 else "between")
    return catboost.CatBoostClassifier(**_KEYS).fit(data, labels)


def _categories() -> Any:
    import catboost

    data, target = _category_data()
    return catboost.CatBoostClassifier(**_KEYS, cat_features=["age", "sex"]).fit(data, (target > 140).astype(int))


def _ranker() -> Any:
    import catboost

    data, target = diabetes.data()
    groups = [row // 42 for row in range(len(data))]
    return catboost.CatBoostRanker(**_KEYS).fit(data, target // 40, group_id=groups)


def _save(model: Any, folder: str, **how: Any) -> None:
    import mlflow.catboost
    from mlflow.models import infer_signature

    data, _ = diabetes.data()
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


def _category_rows() -> Sequence[Any]:
    data, _ = _category_data()
    return [data[:3], data[5:6], data[100:160], data[data.columns[::-1]][20:25], data[:3].assign(age="unseen", sex=7)]
