"""TensorFlow modules, and Keras models that run on TensorFlow, as ``mlflow.tensorflow`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.package.flavors.keras import FOLDER, dump_custom_objects, runs_on_tensorflow
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.keras import predictor_of as predictor_of_keras
from servery_worker.flavors.tensorflow import predictor_of

_MODULE_FOLDER = "tf2model"


def takes(model: Any) -> bool:
    return is_a(model, "tensorflow.Module") or (is_a(model, "keras.Model") and runs_on_tensorflow())


def save(model: Any, folder: Path) -> Saved:
    return _save_keras(model, folder) if is_a(model, "keras.Model") else _save_module(model, folder)


def _save_keras(model: Any, folder: Path) -> Saved:
    import keras
    import tensorflow as tf

    data = folder / FOLDER
    data.mkdir()
    # Keras 2 makes a SavedModel of a name without an ending, as MLflow does; Keras 3 cannot.
    model.save(str(data / ("model" if keras.__version__.startswith("2.") else "model.keras")))
    dump_custom_objects(model, data)
    (data / "keras_module.txt").write_text("tensorflow.keras")
    (data / "save_format.txt").write_text("tf")
    own = {
        "code": None,
        "data": FOLDER,
        "keras_version": tf.__version__,
        "model_type": "keras",
        "save_format": "tf",
    }
    return Saved("tensorflow", _entries({"data": FOLDER}, own), predictor_of_keras(model))


def _save_module(model: Any, folder: Path) -> Saved:
    import tensorflow as tf

    tf.saved_model.save(model, str(folder / _MODULE_FOLDER))
    own = {"code": None, "model_type": "tf2-module", "saved_model_dir": _MODULE_FOLDER}
    return Saved("tensorflow", _entries({}, own), predictor_of(model))


def _entries(data: dict[str, Any], own: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"python_function": {"loader_module": "mlflow.tensorflow", **data}, "tensorflow": own}
