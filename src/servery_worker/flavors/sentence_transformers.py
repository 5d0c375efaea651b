"""Models of sentence-transformers as ``mlflow.sentence_transformers`` saves them: texts to vectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function
from servery_worker.flavors.transformers import openai


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    entry = python_function(mlmodel)
    name = entry.get("data") or "model.sentence_transformer"
    check_there(os.path.join(directory, name), name)
    library = framework("sentence_transformers", needed_by=name)
    # Its own code, if it has any, lies in the package, and runs as a pickle would.
    trusted = {} if library.__version__.startswith(("0.", "1.", "2.0", "2.1", "2.2")) else {"trust_remote_code": True}
    try:
        model = library.SentenceTransformer(os.path.join(directory, name), **trusted)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error
    config = entry.get("config")
    task = config.get("task") if isinstance(config, Mapping) else None
    return Loaded(predictor_of(model, task), row_wise=None)


def predictor_of(model: Any, task: str | None = None) -> Callable[[Any, Any], Any]:
    """``predict(data, params)``; params go to ``encode``. With a task, ``{"input": …}`` gets OpenAI's object."""

    def predict(data: Any, params: Any) -> Any:
        import pandas as pd

        speaks_openai = False
        if isinstance(data, pd.DataFrame):
            speaks_openai = bool(task) and data.columns[0] == "input"
            data = data.iloc[:, 0].tolist()
            data = data[0] if data and isinstance(data[0], list) else data
        elif isinstance(data, pd.Series):
            data = data.tolist()
        try:
            vectors = model.encode(data, **(params or {}))
        except TypeError as error:
            if not params:
                raise
            raise ValueError(f"The params are expected to be such as encode takes: {error}") from error
        return openai.embeddings(data, vectors, model.tokenizer) if speaks_openai else vectors

    return predict
