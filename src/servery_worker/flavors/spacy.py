"""spaCy pipelines with a text categoriser, as ``mlflow.spacy`` saves them; their other components answer nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("spacy") or {}
    name = python_function(mlmodel).get("data") or own.get("data") or "model.spacy"
    path = os.path.join(directory, name)
    check_there(path, name)
    spacy = framework("spacy", name)
    try:
        pipeline = spacy.load(path)
    except Exception as error:
        cause = one_line(error).replace(os.path.dirname(path) + os.sep, "")
        raise LoadError(f"The model in {name!r} does not load: {cause}.") from error
    return Loaded(predictor_of(pipeline), row_wise=True)


def predictor_of(pipeline: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)``: a frame with one column of texts to one with each text's categories and scores."""

    def predict(data: Any, _params: Any) -> Any:
        import pandas as pd

        columns = list(getattr(data, "columns", ()))
        if len(columns) != 1:
            raise ValueError(f"The input is expected to be a table with one column of texts; it has {columns}.")
        return pd.DataFrame({"predictions": data.iloc[:, 0].apply(lambda text: pipeline(text).cats)})

    return predict
