"""A package that brings its own loader: the module that it names, with MLflow's ``_load_pyfunc(path)``.

The module lies in the package's ``code`` folder, as in what ``servery.save_model`` makes of plain Python, or in the
model's environment. Models that cannot be without mlflow are loaded here, too: each subclass of its ``PythonModel``,
models from code, agents, LangChain. mlflow's own loader makes them, where the environment has mlflow; what it wraps
around every model, the signature's enforcement above all, is ours, so that an input is checked once.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function
from servery_worker.streamable import stream_of


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    entry = python_function(mlmodel)
    loader, name = entry["loader_module"], _file_of(entry)
    if name:
        check_there(os.path.join(directory, name), name)
    if loader.startswith("mlflow."):
        framework("mlflow", name or loader)
    try:
        module = importlib.import_module(loader)
    except ImportError as error:
        raise LoadError(f"The package's loader_module {loader!r} cannot be imported: {one_line(error)}.") from error
    path = os.path.join(directory, entry["data"]) if entry.get("data") else directory
    config = entry.get("config")
    try:
        model = module._load_pyfunc(path, config) if config else module._load_pyfunc(path)
    except Exception as error:
        where = f"The model in {name!r}" if name else "The model"
        raise LoadError(f"{where} is not loaded by {loader!r}: {one_line(error)}.") from error
    predict = getattr(model, entry.get("predict_fn") or "predict", None) or model
    if not callable(predict):
        raise LoadError(f"The model, a {type(model).__name__}, has no method 'predict' and is no function.")
    return Loaded(_with_params(predict), row_wise=None, stream=stream_of(model, entry, _with_params))


def _file_of(entry: Mapping[str, Any]) -> str:
    """The file or folder that holds the model, in its package; nothing where the entry does not tell."""
    code = str(entry.get("model_code_path") or "")  # A path of the author's machine; the package has its last part.
    return str(entry.get("data") or entry.get("python_model") or os.path.basename(code))


def _with_params(predict: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """``predict`` given params only where it takes them."""
    try:
        takes = inspect.signature(predict).parameters.get("params")
    except (TypeError, ValueError):  # Written in C, without a signature.
        takes = None
    if takes is None or takes.kind is inspect.Parameter.VAR_KEYWORD:
        return lambda data, params: predict(data)  # noqa: ARG005
    return lambda data, params: predict(data, params=params)


def stop_traces() -> None:
    """Keep mlflow from recording a trace of every prediction, in a database of its own in the current folder.

    It does so for agents and for what ``mlflow.trace`` decorates. A model that says where its traces go keeps them.
    """
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None and hasattr(mlflow, "tracing") and not mlflow.is_tracking_uri_set():
        mlflow.tracing.disable()
