"""pmdarima, on its own data sets: one row asks for the forecast of some periods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.flavors.case import Case


def cases() -> list[Case]:
    return [
        Case("ARIMA", _arima, _save, _rows),
        Case("ARIMA, dated, with a signature", _dated, _save_with_signature, _rows),
        Case("auto_arima", _auto, _save, _rows),
        Case("pipeline", _pipeline, _save, _rows),
        Case("exogenous values", _with_exogenous, _save, _exogenous_rows),
    ]


def _save(model: Any, folder: str) -> None:
    import mlflow.pmdarima

    mlflow.pmdarima.save_model(model, folder, pip_requirements=[])


def _save_with_signature(model: Any, folder: str) -> None:
    import mlflow.pmdarima
    from mlflow.models import infer_signature

    mlflow.pmdarima.save_model(model, folder, signature=infer_signature(_rows()[0]), pip_requirements=[])


def _arima() -> Any:
    from pmdarima import ARIMA
    from pmdarima.datasets import load_wineind

    return ARIMA(order=(1, 1, 2)).fit(load_wineind())


def _dated() -> Any:
    import pandas as pd
    from pmdarima import ARIMA
    from pmdarima.datasets import load_wineind

    sales = load_wineind()
    return ARIMA(order=(1, 1, 1)).fit(
        pd.Series(sales, index=pd.date_range("1980-01-01", periods=len(sales), freq="MS"))
    )


def _auto() -> Any:
    from pmdarima import AutoARIMA
    from pmdarima.datasets import load_lynx

    return AutoARIMA(max_p=2, max_q=2, seasonal=False).fit(load_lynx())


def _pipeline() -> Any:
    from pmdarima import ARIMA
    from pmdarima.datasets import load_lynx
    from pmdarima.pipeline import Pipeline
    from pmdarima.preprocessing import BoxCoxEndogTransformer

    return Pipeline([("boxcox", BoxCoxEndogTransformer(lmbda2=1e-6)), ("arima", ARIMA(order=(2, 0, 0)))]).fit(
        load_lynx()
    )


def _measured() -> Any:
    import statsmodels.api as sm

    return sm.datasets.macrodata.load_pandas().data[["realgdp", "realcons", "realinv"]].to_numpy()


def _with_exogenous() -> Any:
    from pmdarima import ARIMA

    data = _measured()[:190]
    return ARIMA(order=(1, 0, 0)).fit(data[:, 0], X=data[:, 1:])


def _rows() -> Sequence[Any]:
    import pandas as pd

    return [
        pd.DataFrame([{"n_periods": 6, "return_conf_int": True, "alpha": 0.1}]),
        pd.DataFrame([{"n_periods": 1, "return_conf_int": False, "alpha": 0.05}]),
        pd.DataFrame([{"alpha": 0.5, "n_periods": 12, "return_conf_int": True}]),
    ]


def _exogenous_rows() -> Sequence[Any]:
    import pandas as pd

    known = _measured()[190:, 1:].tolist()
    return [
        pd.DataFrame([{"n_periods": 5, "X": known[:5]}]),
        pd.DataFrame([{"X": known[:2], "n_periods": 2}]),
    ]
