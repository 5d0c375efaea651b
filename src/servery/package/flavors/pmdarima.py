"""pmdarima's models and pipelines, pickled as ``mlflow.pmdarima`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.package import pickling
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.pmdarima import predictor_of

_MODEL_FILE = "model.pmd"


def takes(model: Any) -> bool:
    return is_a(model, "pmdarima.base.BaseARIMA", "pmdarima.pipeline.Pipeline")


def save(model: Any, folder: Path) -> Saved:
    import pmdarima

    pickling.dump(model, folder / _MODEL_FILE)
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": _MODEL_FILE, "loader_module": "mlflow.pmdarima"},
        "pmdarima": {
            "code": None,
            "data": _MODEL_FILE,
            "model_type": type(model).__name__,
            "pmdarima_version": pmdarima.__version__,
        },
    }
    return Saved("pmdarima", entries, predictor_of(model))
