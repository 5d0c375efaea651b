"""Pipelines as ``mlflow.transformers`` saves them, for every task that MLflow serves.

``loading`` makes the pipeline of a package, ``prediction`` what answers a request with it: ``inputs`` and ``media``
read a task's input forms, ``outputs`` gives the answer MLflow's shape, and ``openai`` speaks ``llm/v1/…``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, one_line, python_function
from servery_worker.flavors.transformers.loading import load_pipeline
from servery_worker.flavors.transformers.prediction import predictor_of

__all__ = ["load", "predictor_of"]

_OLD_OPTIONS = os.path.join("components", "inference_config.txt")


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    entry = mlmodel["flavors"].get("transformers")
    if not isinstance(entry, Mapping):
        raise LoadError("The package's MLmodel file has no flavor transformers, which describes the pipeline.")
    pipeline = load_pipeline(directory, entry)
    options = _read_options(directory, mlmodel)
    template = (mlmodel.get("metadata") or {}).get("prompt_template")
    return Loaded(predictor_of(pipeline, entry, options, template), row_wise=None)


def _read_options(directory: str, mlmodel: Mapping[str, Any]) -> Mapping[str, Any]:
    """What each call of the pipeline is given, unless a caller's params say otherwise."""
    path = os.path.join(directory, _OLD_OPTIONS)  # As mlflow had it before 2.9.
    try:
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                options = json.load(file)
        else:
            options = python_function(mlmodel).get("config") or {}
    except ValueError as error:
        raise LoadError(f"The file {_OLD_OPTIONS!r} cannot be read: {one_line(error)}.") from None
    if not isinstance(options, Mapping):
        raise LoadError(f"The model's config is expected to be a mapping; it is a {type(options).__name__}.")
    return options
