"""TensorFlow models as ``mlflow.tensorflow`` saves them, and as ``mlflow.keras`` did before Keras 3.

Of the model types, ``keras`` is a Keras model in a ``.keras`` file, in HDF5 or as a SavedModel; ``tf2-module`` is a
SavedModel that is called; ``tf1-estimator``, which only old releases wrote, one whose signature is asked by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function
from servery_worker.flavors.keras import arrays_of, choose_backend, read_model
from servery_worker.flavors.keras import predictor_of as predictor_of_keras


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    flavors = mlmodel["flavors"]
    own = flavors.get("keras") or flavors.get("tensorflow") or {}
    # Old packages do not tell.
    kind = own.get("model_type") or ("keras" if "keras" in flavors else "tf1-estimator")
    data = python_function(mlmodel).get("data")
    if kind == "keras":
        predict = _load_keras(directory, data or own.get("data") or "data")
    elif kind in ("tf2-module", "tf1-estimator"):
        name = os.path.join(data or "", own.get("saved_model_dir") or "tf2model")
        predict = _load_module(directory, name) if kind == "tf2-module" else _load_estimator(directory, name, own)
    else:
        raise LoadError(f"The package's model_type is {kind!r}; expected keras, tf2-module or tf1-estimator.")
    return Loaded(predict, row_wise=None)


def _load_keras(directory: str, folder: str) -> Callable[[Any, Any], Any]:
    choose_backend("tensorflow")
    place = os.path.join(directory, folder)
    if os.path.isfile(place):  # So the oldest packages have it.
        name = folder
    elif _text(place, "save_format.txt", "h5") == "h5":
        name = f"{folder}/model.h5"
    else:
        name = f"{folder}/model.keras" if os.path.exists(os.path.join(place, "model.keras")) else f"{folder}/model"
    module = _text(place, "keras_module.txt", "tensorflow.keras")
    if module.startswith(("keras.", "tensorflow.")):  # Where TensorFlow's Keras lies differs with its releases.
        module = "tensorflow.keras"
    framework("tensorflow", name)
    return predictor_of_keras(read_model(framework(f"{module}.models", name), directory, name, folder))


def _text(folder: str, file: str, default: str) -> str:
    path = os.path.join(folder, file)
    if not os.path.isfile(path):
        return default
    with open(path, encoding="utf-8", errors="replace") as opened:
        return opened.read().strip() or default


def _load_module(directory: str, name: str) -> Callable[[Any, Any], Any]:
    model = _read_saved_model(directory, name)
    if not callable(model):
        raise LoadError(f"The model in {name!r} cannot be called; its __call__ was no tf.function when it was saved.")
    return predictor_of(model)


def _load_estimator(directory: str, name: str, own: Mapping[str, Any]) -> Callable[[Any, Any], Any]:
    model = _read_saved_model(directory, name, own.get("meta_graph_tags"))
    key = own.get("signature_def_key")
    if key not in model.signatures:
        listed = ", ".join(map(repr, model.signatures)) or "none"
        raise LoadError(f"The model in {name!r} has no signature {key!r}; there is {listed}.")
    return _asked_by_name(model, model.signatures[key])


def _read_saved_model(directory: str, name: str, tags: Any = None) -> Any:
    path = os.path.join(directory, name)
    check_there(path, name)
    try:
        return framework("tensorflow", name).saved_model.load(path, tags=tags)
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error


def predictor_of(model: Any) -> Callable[[Any, Any], Any]:
    """The answers of a ``tf.Module`` to arrays and lists."""
    import numpy as np
    import tensorflow as tf

    def predict(data: Any, params: Any) -> Any:  # noqa: ARG001
        if not isinstance(data, (np.ndarray, list)):
            raise TypeError(f"The model takes an array or a list; the input is a {type(data).__name__}.")
        return arrays_of(model(tf.convert_to_tensor(data)))

    return predict


def _asked_by_name(model: Any, signature: Any) -> Callable[[Any, Any], Any]:
    """The answers of a graph whose tensors have names: a dict of arrays for a dict, a frame for a frame."""
    import numpy as np
    import pandas as pd
    import tensorflow as tf

    def predict(data: Any, params: Any, _kept: Any = model) -> Any:  # noqa: ARG001
        # The signature holds the model's variables weakly, so the model is kept.
        if isinstance(data, pd.DataFrame):
            fed = {name: np.array(data[name].to_list()) for name in data.columns}
        elif isinstance(data, dict):
            fed = data
        else:
            raise TypeError(f"The model takes a table or a dict of arrays; the input is a {type(data).__name__}.")
        output = signature(**{name: tf.constant(value) for name, value in fed.items()})
        columns = {name: _column(tensor.numpy()) for name, tensor in output.items()}
        return columns if isinstance(data, dict) else pd.DataFrame(columns)

    return predict


def _column(array: Any) -> Any:
    """One value a row, where each row has one; else lists."""
    is_single = array.ndim != 1 and all(len(row) == 1 for row in array)
    return array.ravel() if is_single else array.tolist()
