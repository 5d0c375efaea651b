"""XGBoost's Booster and its estimators, as ``mlflow.xgboost`` saves them: UBJSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.xgboost import predictor_of

_MODEL_FILE = "model.ubj"


def takes(model: Any) -> bool:
    """An author's own subclass is another flavor's: XGBoost's file would not hold what it adds."""
    is_own = type(model).__module__.partition(".")[0] == "xgboost"
    return is_own and is_a(model, "xgboost.Booster", "xgboost.XGBModel")


def save(model: Any, folder: Path) -> Saved:
    import xgboost

    _check_missing(model)
    try:
        model.save_model(folder / _MODEL_FILE)
    except Exception as error:
        raise InvalidInput("model", expected="a model that XGBoost can save", got=str(error)) from error
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": _MODEL_FILE, "loader_module": "mlflow.xgboost"},
        "xgboost": {
            "code": None,
            "data": _MODEL_FILE,
            "model_class": f"{type(model).__module__}.{type(model).__name__}",
            "model_format": "ubj",
            "xgb_version": xgboost.__version__,
        },
    }
    return Saved("xgboost", entries, predictor_of(model))


def _check_missing(model: Any) -> None:
    """An estimator's file does not hold which value means a missing one: loaded, it would take that for a number."""
    missing = getattr(model, "missing", None)
    if missing is not None and not math.isnan(missing):
        expected = "missing=nan, the only value that XGBoost's files keep (or the estimator inside a Pipeline)"
        raise InvalidInput("model", expected=expected, got=f"missing={missing}")
