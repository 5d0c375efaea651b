"""What ``servery.save_model`` makes of a function, a ``PythonModel`` or any object with ``predict``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, python_function, unpickle


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    name = python_function(mlmodel).get("data") or "model.pkl"
    import cloudpickle

    model = unpickle(os.path.join(directory, name), name, cloudpickle.load)
    predict = getattr(model, "predict", None) or model
    if not callable(predict):
        raise LoadError(f"The model, a {type(model).__name__}, has no method 'predict' and is no function.")
    return Loaded(_with_params(predict), row_wise=None)


def _with_params(predict: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """``predict`` given params only where it takes them."""
    try:
        takes = inspect.signature(predict).parameters.get("params")
    except (TypeError, ValueError):  # Written in C, without a signature.
        takes = None
    if takes is None or takes.kind is inspect.Parameter.VAR_KEYWORD:
        return lambda data, params: predict(data)  # noqa: ARG005
    return lambda data, params: predict(data, params=params)
