"""A package that brings its own loader: the module that it names, with MLflow's ``_load_pyfunc(data_path)``.

The module lies in the package's ``code`` folder, as in what ``servery.save_model`` makes of plain Python, or in the
model's environment, as MLflow's own do.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, one_line, python_function


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    entry = python_function(mlmodel)
    name, path = entry["loader_module"], os.path.join(directory, entry.get("data") or "")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise LoadError(f"The package's loader_module {name!r} cannot be imported: {one_line(error)}.") from error
    try:
        model = module._load_pyfunc(path)
    except Exception as error:
        raise LoadError(f"The package's loader_module {name!r} does not load it: {one_line(error)}.") from error
    predict = getattr(model, entry.get("predict_fn") or "predict", None) or model
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
