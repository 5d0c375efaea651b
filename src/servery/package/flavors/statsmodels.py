"""Results of statsmodels, what a model's ``fit`` gives, pickled as ``mlflow.statsmodels`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.package import pickling
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.statsmodels import predictor_of

_MODEL_FILE = "model.statsmodels"


def takes(model: Any) -> bool:
    return is_a(model, "statsmodels.base.model.Results", "statsmodels.base.wrapper.ResultsWrapper")


def save(model: Any, folder: Path) -> Saved:
    import statsmodels

    pickling.dump(model, folder / _MODEL_FILE)
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": _MODEL_FILE, "loader_module": "mlflow.statsmodels"},
        "statsmodels": {"code": None, "data": _MODEL_FILE, "statsmodels_version": statsmodels.__version__},
    }
    return Saved("statsmodels", entries, predictor_of(model))
