"""Keras 3 models, of any backend, as ``mlflow.keras`` saves them: a ``.keras`` file, or an exported SavedModel.

A ``.keras`` file holds no code but what its Lambda layers do, which Keras refuses; classes of the author's own are
pickled beside it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, unpickle

CUSTOM_OBJECTS = ("global_custom_objects.cloudpickle", "custom_objects.cloudpickle")
"""The files of classes and functions that a model needs; what the last one names counts. MLflow writes them for
TensorFlow only."""
_BACKENDS = frozenset({"jax", "numpy", "openvino", "tensorflow", "torch"})


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("keras") or {}
    if "save_exported_model" not in own:
        # Before Keras 3, a package of this name was what mlflow.tensorflow's are now.
        from servery_worker.flavors import tensorflow

        return tensorflow.load(directory, mlmodel)
    folder = own.get("data") or "data"
    if own["save_exported_model"]:
        return _load_export(directory, f"{folder}/model")
    name = f"{folder}/model.keras"
    choose_backend(own.get("keras_backend"))
    model = read_model(framework("keras", name).saving, directory, name, folder)
    return Loaded(predictor_of(model), row_wise=None)


def choose_backend(name: Any) -> None:
    """Have Keras use the backend that a model was saved with, where it is installed and Keras is not at work already.

    Keras reads this variable once, when it is imported first, and knows no other way.
    """
    if name in _BACKENDS and "keras" not in sys.modules and importlib.util.find_spec(name) is not None:
        os.environ["KERAS_BACKEND"] = name
        __import__(name)  # The model requires it; Keras does not.


def read_model(saving: Any, directory: str, name: str, folder: str) -> Any:
    """The model in the file ``name``, by the ``load_model`` of a module; raises LoadError."""
    path = os.path.join(directory, name)
    check_there(path, name)
    objects = _custom_objects(directory, folder)
    try:
        # A loss or an optimizer that cannot be found is none of prediction's concern.
        return saving.load_model(path, custom_objects=objects, compile=False)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error


def _custom_objects(directory: str, folder: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in CUSTOM_OBJECTS:
        path = os.path.join(directory, folder, file)
        if os.path.exists(path):
            import cloudpickle

            found.update(unpickle(path, f"{folder}/{file}", cloudpickle.load) or {})
    return found


def _load_export(directory: str, name: str) -> Loaded:
    tensorflow = framework("tensorflow", name)
    path = os.path.join(directory, name)
    check_there(path, name)
    try:
        model = tensorflow.saved_model.load(path)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error
    if not callable(getattr(model, "serve", None)):
        raise LoadError(f"The model in {name!r} has no endpoint 'serve', as Keras exports it.")
    return Loaded(_predictor(lambda data: arrays_of(model.serve(data))), row_wise=None)


def predictor_of(model: Any) -> Callable[[Any, Any], Any]:
    """The answers of a Keras model: its arrays, or a frame with the index of the frame that it was given."""
    return _predictor(partial(model.predict, verbose=0))


def _predictor(call: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    import numpy as np
    import pandas as pd

    def predict(data: Any, params: Any) -> Any:  # noqa: ARG001
        if isinstance(data, pd.DataFrame):
            return pd.DataFrame(call(data.values), index=data.index)
        if not isinstance(data, (np.ndarray, list, tuple, dict)):
            raise TypeError(
                f"The model takes an array, a table, a list or a dict; the input is a {type(data).__name__}."
            )
        return call(data)

    return predict


def arrays_of(output: Any) -> Any:
    """TensorFlow's tensors, alone or in lists and dicts, as arrays."""
    if isinstance(output, dict):
        return {name: arrays_of(value) for name, value in output.items()}
    if isinstance(output, (list, tuple)):
        return [arrays_of(value) for value in output]
    return output.numpy() if hasattr(output, "numpy") else output
