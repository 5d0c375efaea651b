"""statsmodels: linear models by arrays, frames and formulas, and time series, on the data sets that it brings along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.flavors.case import Case


def cases() -> list[Case]:
    return [
        Case("OLS", _ols, _save_with(_longley), _longley_rows),
        Case("OLS of arrays, no signature", _ols_of_arrays, _save, _longley_arrays),
        Case("OLS of a formula", _ols_of_formula, _save_with(_fair_given), _fair_rows),
        Case("GLM, gamma", _glm, _save_with(_scotland), _scotland_rows),
        Case("logit", _logit, _save_with(_spector), _spector_rows),
        Case("OLS without its data", _ols, _save_without_data, _longley_rows),
        Case("ARIMA, dated", _arima_dated, _save_with(_dated_span), _dated_spans),
        Case("AutoReg", _autoreg, _save, _numbered_spans),
        Case("exponential smoothing", _smoothing, _save, _numbered_spans),
    ]


def _save(model: Any, folder: str) -> None:
    import mlflow.statsmodels

    mlflow.statsmodels.save_model(model, folder, pip_requirements=[])


def _save_with(example: Callable[[], Any]) -> Callable[[Any, str], None]:
    def save(model: Any, folder: str) -> None:
        import mlflow.statsmodels
        from mlflow.models import infer_signature

        mlflow.statsmodels.save_model(model, folder, signature=infer_signature(example()), pip_requirements=[])

    return save


def _save_without_data(model: Any, folder: str) -> None:
    import copy

    import mlflow.statsmodels

    # It takes the arrays out of the results that it is given.
    mlflow.statsmodels.save_model(copy.deepcopy(model), folder, remove_data=True, pip_requirements=[])


def _longley() -> Any:
    import statsmodels.api as sm

    return sm.add_constant(sm.datasets.longley.load_pandas().exog)


def _employed() -> Any:
    import statsmodels.api as sm

    return sm.datasets.longley.load_pandas().endog


def _ols() -> Any:
    import statsmodels.api as sm

    return sm.OLS(_employed(), _longley()).fit()


def _longley_rows() -> Sequence[Any]:
    data = _longley()
    return [data[:3], data[4:5], data]


def _ols_of_arrays() -> Any:
    import statsmodels.api as sm

    return sm.OLS(_employed().to_numpy(), _longley().to_numpy()).fit()


def _longley_arrays() -> Sequence[Any]:
    data = _longley().to_numpy()
    return [data[:3], data[4:5], data]


def _fair() -> Any:
    import statsmodels.api as sm

    return sm.datasets.fair.load_pandas().data


def _ols_of_formula() -> Any:
    import numpy as np  # noqa: F401 - the formula names it.
    import statsmodels.formula.api as smf

    formula = "affairs ~ C(religious) + np.log(age) + center(yrs_married) + rate_marriage:children"
    return smf.ols(formula, _fair()).fit()


def _fair_given() -> Any:
    return _fair()[["religious", "age", "yrs_married", "rate_marriage", "children"]]


def _fair_rows() -> Sequence[Any]:
    data = _fair_given()
    reordered = data[["children", "rate_marriage", "yrs_married", "age", "religious"]]
    return [data[:4], data[10:11], reordered[20:40], _fair()[50:60]]


def _scotland() -> Any:
    import statsmodels.api as sm

    return sm.add_constant(sm.datasets.scotland.load_pandas().exog)


def _glm() -> Any:
    import statsmodels.api as sm

    return sm.GLM(sm.datasets.scotland.load_pandas().endog, _scotland(), family=sm.families.Gamma()).fit()


def _scotland_rows() -> Sequence[Any]:
    data = _scotland()
    return [data[:3], data[8:9], data[list(reversed(data.columns))][10:20]]


def _spector() -> Any:
    import statsmodels.api as sm

    return sm.add_constant(sm.datasets.spector.load_pandas().exog)


def _logit() -> Any:
    import statsmodels.api as sm

    return sm.Logit(sm.datasets.spector.load_pandas().endog, _spector()).fit(disp=False)


def _spector_rows() -> Sequence[Any]:
    data = _spector()
    missing = data[:3].copy()
    missing.iloc[1, 2] = None
    return [data[:3], data[5:6], data, missing]


def _sunspots() -> Any:
    import statsmodels.api as sm

    return sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"]


def _dated() -> Any:
    import pandas as pd

    return pd.Series(_sunspots().to_numpy(), index=pd.period_range("1700", periods=309, freq="Y").to_timestamp())


def _arima_dated() -> Any:
    from statsmodels.tsa.arima.model import ARIMA

    return ARIMA(_dated().asfreq("YS"), order=(2, 0, 1)).fit()


def _autoreg() -> Any:
    from statsmodels.tsa.ar_model import AutoReg

    return AutoReg(_sunspots(), lags=9).fit()


def _smoothing() -> Any:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    return ExponentialSmoothing(_sunspots(), seasonal="add", seasonal_periods=11).fit()


def _numbered_spans() -> Sequence[Any]:
    import pandas as pd

    return [pd.DataFrame({"start": [start], "end": [end]}) for start, end in ((309, 315), (300, 312), (320, 320))]


def _dated_span() -> Any:
    import pandas as pd

    return pd.DataFrame({"start": ["2009-01-01"], "end": ["2015-01-01"]})


def _dated_spans() -> Sequence[Any]:
    import pandas as pd

    within = pd.DataFrame({"end": ["2010-01-01"], "start": ["2001-01-01"], "unused": ["x"]})
    return [_dated_span(), within[["start", "end"]], within]
