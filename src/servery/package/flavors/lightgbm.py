"""LightGBM's Booster as text and its estimators as cloudpickle, as ``mlflow.lightgbm`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package import pickling
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.lightgbm import predictor_of


def takes(model: Any) -> bool:
    return is_a(model, "lightgbm.Booster", "lightgbm.LGBMModel")


def save(model: Any, folder: Path) -> Saved:
    import lightgbm

    is_booster = isinstance(model, lightgbm.Booster)
    name = "model.lgb" if is_booster else "model.pkl"
    if is_booster:
        try:
            model.save_model(folder / name)
        except Exception as error:
            raise InvalidInput("model", expected="a Booster that LightGBM can save", got=str(error)) from error
    else:
        pickling.dump(model, folder / name)
    kind = lightgbm.Booster if is_booster else type(model)
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": name, "loader_module": "mlflow.lightgbm"},
        "lightgbm": {
            "code": None,
            "data": name,
            "lgb_version": lightgbm.__version__,
            "model_class": f"{kind.__module__}.{kind.__name__}",
            "serialization_format": "cloudpickle",
            "skops_trusted_types": None,
        },
    }
    return Saved("lightgbm", entries, predictor_of(model))
