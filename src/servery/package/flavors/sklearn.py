"""scikit-learn estimators and pipelines, and what follows its estimator interface, as ``mlflow.sklearn`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.package import pickling
from servery.package.flavors.saved import Saved, is_a

_MODEL_FILE = "model.pkl"


def takes(model: Any) -> bool:
    return is_a(model, "sklearn.base.BaseEstimator") and hasattr(model, "predict")


def save(model: Any, folder: Path) -> Saved:
    import sklearn

    pickling.dump(model, folder / _MODEL_FILE)
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"loader_module": "mlflow.sklearn", "model_path": _MODEL_FILE, "predict_fn": "predict"},
        "sklearn": {
            "code": None,
            "pickled_model": _MODEL_FILE,
            "serialization_format": "cloudpickle",
            "skops_trusted_types": None,
            "sklearn_version": sklearn.__version__,
        },
    }
    return Saved("sklearn", entries, lambda data, _params: model.predict(data))
