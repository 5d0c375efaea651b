"""pmdarima's models and pipelines, pickled, as ``mlflow.pmdarima`` saves them; one row says what to forecast."""

from __future__ import annotations

import inspect
import os
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, framework, python_function, unpickle


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("pmdarima") or {}
    name = python_function(mlmodel).get("data") or own.get("data") or "model.pmd"
    framework("pmdarima", name)
    model = unpickle(os.path.join(directory, name), name, pickle.load)
    if not callable(getattr(model, "predict", None)):
        raise LoadError(f"The model in {name!r} is a {type(model).__name__}; expected a model of pmdarima.")
    return Loaded(predictor_of(model), row_wise=False)


def predictor_of(model: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)``: one row to a frame with ``yhat``, and its bounds where they are asked for.

    The row has ``n_periods``, and may have ``X``, the exogenous values of each period, ``return_conf_int`` and
    ``alpha``.
    """
    takes_exogenous = "X" in inspect.signature(model.predict).parameters  # Not before pmdarima 1.8.

    def predict(data: Any, _params: Any) -> Any:
        import pandas as pd

        row = _only_row(data)
        asked = {"return_conf_int": row.get("return_conf_int", False), "alpha": row.get("alpha", 0.05)}
        exogenous = {"X": row.get("X")} if takes_exogenous else {}
        answer = model.predict(n_periods=_periods(row), **exogenous, **asked)
        if not asked["return_conf_int"]:
            return pd.DataFrame({"yhat": answer})
        yhat, bounds = answer
        return pd.DataFrame({"yhat": yhat, "yhat_lower": bounds[:, 0], "yhat_upper": bounds[:, 1]})

    return predict


def _only_row(data: Any) -> dict[str, Any]:
    if not hasattr(data, "to_dict") or len(data) != 1:
        raise ValueError(f"A forecast is asked for by a table of one row; a {type(data).__name__} of {len(data)} came.")
    row: dict[str, Any] = data.to_dict(orient="records")[0]
    return row


def _periods(row: Mapping[str, Any]) -> int:
    periods = row.get("n_periods")
    if not isinstance(periods, int) or not periods:
        raise ValueError(f"Column 'n_periods' is expected to be a positive integer; it is {periods!r}.")
    return periods
