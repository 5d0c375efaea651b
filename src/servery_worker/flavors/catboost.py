"""CatBoost's models as ``mlflow.catboost`` saves them; the flavor's entry names the class and the format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function
from servery_worker.trusted import refuse_file_name

CLASSES = ("CatBoost", "CatBoostClassifier", "CatBoostRanker", "CatBoostRegressor")


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("catboost") or {}
    name = python_function(mlmodel).get("data") or own.get("data") or "model.cb"
    path = os.path.join(directory, name)
    check_there(path, name)
    catboost = framework("catboost", name)
    kind = own.get("model_type")
    if kind not in CLASSES:
        raise LoadError(f"The model in {name!r} is a {kind!r}; expected {', '.join(CLASSES)}.")
    try:
        model = getattr(catboost, kind)()
        model.load_model(path, own.get("save_format") or "cbm")
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load as {kind}: {one_line(error)}.") from error
    return Loaded(predictor_of(model), row_wise=True)


def predictor_of(model: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)``. As in MLflow, params are not used."""

    def predict(data: Any, _params: Any) -> Any:
        refuse_file_name(data)
        return model.predict(data)

    return predict
