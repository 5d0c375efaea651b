"""Results of statsmodels, pickled, as ``mlflow.statsmodels`` saves them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, framework, python_function, unpickle


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("statsmodels") or {}
    name = python_function(mlmodel).get("data") or own.get("data") or "model.statsmodels"
    framework("statsmodels", name)
    results = unpickle(os.path.join(directory, name), name, pickle.load)
    if not callable(getattr(results, "predict", None)) or not hasattr(results, "model"):
        raise LoadError(f"The model in {name!r} is a {type(results).__name__}; expected the results of statsmodels.")
    return Loaded(predictor_of(results), _is_row_wise(results))


def predictor_of(results: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)`` of results: a time series is asked by one row with ``start`` and ``end``."""
    if not _is_time_series(results):
        return lambda data, _params: results.predict(data)

    def forecast(data: Any, _params: Any) -> Any:
        columns = list(getattr(data, "columns", ()))
        if len(data) != 1 or not {"start", "end"} <= set(columns):
            got = f"{len(data)} rows with the columns {columns}"
            raise ValueError(f"A time series is asked by a table of one row with columns start and end, not by {got}.")
        return results.predict(start=data["start"].iloc[0], end=data["end"].iloc[0])

    return forecast


def _is_time_series(results: Any) -> bool:
    from statsmodels.tsa.base.tsa_model import TimeSeriesModel

    return isinstance(results.model, TimeSeriesModel)


def _is_row_wise(results: Any) -> bool | None:
    """Linear models multiply each row with their parameters; a formula may look at a whole column (``x - mean(x)``)."""
    from statsmodels.discrete.discrete_model import DiscreteModel
    from statsmodels.genmod.generalized_linear_model import GLM
    from statsmodels.regression.linear_model import RegressionModel

    if _is_time_series(results):
        return False
    is_linear = isinstance(results.model, (RegressionModel, GLM, DiscreteModel))
    return True if is_linear and getattr(results.model, "formula", None) is None else None
