"""scikit-learn models as ``mlflow.sklearn`` saves them: cloudpickle, pickle or skops.

A pickle runs code of its author's choice when it is read. skops does so only for types it is told to trust; that list
is ours, never the one that the package brings along.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, one_line, python_function, unpickle

_TRUSTED_PACKAGES = ("sklearn.", "numpy.", "scipy.")


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    entry = python_function(mlmodel)
    own = mlmodel["flavors"].get("sklearn") or {}
    name = entry.get("data") or entry.get("model_path") or own.get("pickled_model") or "model.pkl"
    path = os.path.join(directory, name)
    model = _read(path, name, own.get("serialization_format", "pickle"))
    function = entry.get("predict_fn") or "predict"
    predict = getattr(model, function, None)
    if not callable(predict):
        raise LoadError(f"The model, a {type(model).__name__}, has no method {function!r}.")
    return Loaded(lambda data, params: predict(data), row_wise=function != "score")  # noqa: ARG005


def _read(path: str, name: str, serialization: Any) -> Any:
    if serialization == "skops":
        return _read_skops(path, name)
    if serialization == "cloudpickle":
        import cloudpickle

        return unpickle(path, name, cloudpickle.load)
    if serialization == "pickle":
        import joblib  # It reads what pickle wrote, and what joblib.dump did.

        return unpickle(path, name, joblib.load)
    raise LoadError(f"The model is saved as {serialization!r}; expected cloudpickle, pickle or skops.")


def _read_skops(path: str, name: str) -> Any:
    try:
        import skops.io
    except ImportError:
        raise LoadError(f"The model in {name!r} needs skops, which its environment does not have.") from None
    if not os.path.isfile(path):
        raise LoadError(f"The package has no file {name!r}, where its MLmodel says that the model lies.")
    try:
        asked = skops.io.get_untrusted_types(file=path)
        refused = [name for name in asked if not _is_trusted(name)]
        if not refused:
            return skops.io.load(path, trusted=asked)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error
    listed = ", ".join(refused[:5])
    raise LoadError(
        f"The model in {name!r} holds types that are not trusted: {listed}; save it as cloudpickle instead."
    )


def _is_trusted(name: str) -> bool:
    """Classes of the packages that scikit-learn is made of. Functions are not: a call of one may do anything."""
    if not name.startswith(_TRUSTED_PACKAGES):
        return False
    module, _, attribute = name.rpartition(".")
    return inspect.isclass(getattr(importlib.import_module(module), attribute, None))
