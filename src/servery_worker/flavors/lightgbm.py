"""LightGBM's Booster and its estimators, as ``mlflow.lightgbm`` saves them: the one as text, the others pickled."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function
from servery_worker.flavors.sklearn import read
from servery_worker.trusted import refuse_file_name

_BOOSTER = "lightgbm.basic.Booster"


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("lightgbm") or {}
    name = own.get("data") or python_function(mlmodel).get("data") or "model.lgb"
    # MLflow before 1.23 saved Boosters only, and did not say so; before 3 it pickled all else with cloudpickle.
    if (own.get("model_class") or _BOOSTER) == _BOOSTER:
        model = _read_booster(os.path.join(directory, name), name)
    else:
        framework("lightgbm", name)
        model = read(directory, name, own.get("serialization_format") or "cloudpickle")
        if not callable(getattr(model, "predict", None)):
            raise LoadError(f"The model in {name!r}, a {type(model).__name__}, has no method 'predict'.")
    return Loaded(predictor_of(model), row_wise=True)


def _read_booster(path: str, name: str) -> Any:
    check_there(path, name)
    lightgbm = framework("lightgbm", name)
    try:
        return lightgbm.Booster(model_file=path)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load as {_BOOSTER}: {one_line(error)}.") from error


def predictor_of(model: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)`` of a Booster or an estimator. As in MLflow, params are not used."""

    def predict(data: Any, _params: Any) -> Any:
        refuse_file_name(data)
        return model.predict(data)

    return predict
