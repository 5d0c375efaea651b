"""Prophet's forecasters as ``mlflow.prophet`` saves them: the text of its JSON form, itself written as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, framework, python_function, unpickle


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("prophet") or {}
    name = python_function(mlmodel).get("data") or own.get("data") or "model.pr"
    serialize = framework("prophet.serialize", name)
    model = unpickle(os.path.join(directory, name), name, lambda file: serialize.model_from_json(json.load(file)))
    # It answers in the order of the dates, whoever asked for them.
    return Loaded(predictor_of(model), row_wise=False)


def predictor_of(model: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)``: a frame with ``ds`` to the frame of forecasts, sorted by ``ds``."""

    def predict(data: Any, _params: Any) -> Any:
        if "ds" not in getattr(data, "columns", ()):
            raise ValueError("The input is expected to be a table with a column 'ds' of dates.")
        return model.predict(data)

    return predict
