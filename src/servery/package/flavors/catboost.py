"""CatBoost's models in its own binary form, as ``mlflow.catboost`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.catboost import CLASSES, predictor_of

_MODEL_FILE = "model.cb"


def takes(model: Any) -> bool:
    """An author's own subclass is another flavor's: CatBoost's file would not hold what it adds."""
    return type(model).__name__ in CLASSES and is_a(model, f"catboost.{type(model).__name__}")


def save(model: Any, folder: Path) -> Saved:
    import catboost

    try:
        model.save_model(str(folder / _MODEL_FILE))
    except Exception as error:
        raise InvalidInput("model", expected="a model that CatBoost can save", got=str(error)) from error
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": _MODEL_FILE, "loader_module": "mlflow.catboost"},
        "catboost": {
            "catboost_version": catboost.__version__,
            "code": None,
            "data": _MODEL_FILE,
            "model_type": type(model).__name__,
            "save_format": "cbm",
        },
    }
    return Saved("catboost", entries, predictor_of(model))
