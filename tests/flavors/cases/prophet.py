"""Prophet, on the carbon dioxide of Mauna Loa and the American economy, which statsmodels brings along.

Its uncertainty is drawn by chance, anew in each call: most cases draw none, and one has a wide tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.flavors.case import Case


def cases() -> list[Case]:
    return [
        Case("linear growth", _linear, _save_with_signature, _dates),
        Case("a regressor, multiplicative", _with_regressor, _save, _quarters),
        Case("logistic growth, holidays", _logistic, _save, _capped_dates),
        Case("uncertainty, drawn by chance", _uncertain, _save, _dates, tolerance=0.05),
    ]


def _save(model: Any, folder: str) -> None:
    import mlflow.prophet

    mlflow.prophet.save_model(model, folder, pip_requirements=[])


def _save_with_signature(model: Any, folder: str) -> None:
    import mlflow.prophet
    from mlflow.models import infer_signature

    future = _dates()[0]
    mlflow.prophet.save_model(
        model, folder, signature=infer_signature(future, model.predict(future)), pip_requirements=[]
    )


def _monthly() -> Any:
    import statsmodels.api as sm

    data = sm.datasets.co2.load_pandas().data["co2"].resample("MS").mean().dropna()[-180:]
    return data.rename_axis("ds").reset_index(name="y")


def _linear() -> Any:
    from prophet import Prophet

    return Prophet(uncertainty_samples=0).fit(_monthly())


def _uncertain() -> Any:
    from prophet import Prophet

    return Prophet(uncertainty_samples=2000).fit(_monthly())


def _logistic() -> Any:
    from prophet import Prophet

    model = Prophet(growth="logistic", uncertainty_samples=0, weekly_seasonality=False)
    model.add_country_holidays("US")
    return model.fit(_monthly().assign(cap=500.0, floor=300.0))


def _dates() -> Sequence[Any]:
    import pandas as pd

    future = pd.DataFrame({"ds": pd.date_range("2001-12-01", periods=12, freq="MS")})
    return [future, future[3:4], future.sort_values("ds", ascending=False)]


def _capped_dates() -> Sequence[Any]:
    return [dates.assign(cap=500.0, floor=300.0) for dates in _dates()]


def _economy() -> Any:
    import pandas as pd
    import statsmodels.api as sm

    data = sm.datasets.macrodata.load_pandas().data
    dates = pd.date_range("1959-01-01", periods=len(data), freq="QS")
    return pd.DataFrame({"ds": dates, "y": data["realgdp"], "consumption": data["realcons"]})


def _with_regressor() -> Any:
    from prophet import Prophet

    model = Prophet(uncertainty_samples=0, seasonality_mode="multiplicative", weekly_seasonality=False)
    model.add_regressor("consumption")
    return model.fit(_economy()[:180])


def _quarters() -> Sequence[Any]:
    data = _economy()[["ds", "consumption"]]
    return [data[180:190], data[190:191], data[["consumption", "ds"]][170:180]]
