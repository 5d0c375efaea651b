"""XGBoost's Booster and its estimators, as ``mlflow.xgboost`` saves them: UBJSON, JSON or the older binary form."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function
from servery_worker.trusted import refuse_file_name

_BOOSTER = "xgboost.core.Booster"


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("xgboost") or {}
    name = own.get("data") or python_function(mlmodel).get("data") or "model.xgb"
    path = os.path.join(directory, name)
    check_there(path, name)
    framework("xgboost", name)
    # MLflow before 1.22 saved Boosters only, and did not say so.
    kind = own.get("model_class") or _BOOSTER
    try:
        model = _class(kind, name)()
        model.load_model(path)
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load as {kind}: {one_line(error)}.") from error
    return Loaded(predictor_of(model), row_wise=True)


def _class(path: str, name: str) -> Any:
    module, _, attribute = path.rpartition(".")
    found = getattr(framework(module, name), attribute, None) if module else None
    if not hasattr(found, "load_model") or not hasattr(found, "predict"):
        raise LoadError(f"The model in {name!r} is of the class {path!r}, which is none of XGBoost's here.")
    return found


def predictor_of(model: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)`` of a Booster or an estimator; params are its keyword arguments, where it has them."""
    import xgboost

    names = inspect.signature(model.predict).parameters
    is_estimator = isinstance(model, xgboost.XGBModel)
    call = functools.partial(model.predict, validate_features=True) if is_estimator else model.predict

    def predict(data: Any, params: Any) -> Any:
        refuse_file_name(data)
        known = {key: value for key, value in (params or {}).items() if key in names}
        if isinstance(model, xgboost.Booster):
            return call(xgboost.DMatrix(data), validate_features=True, **known)
        return call(data, **known)

    return predict
