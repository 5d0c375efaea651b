"""scikit-learn: every serialization that mlflow writes, and each method that its ``pyfunc_predict_fn`` may name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.flavors.case import Case


def cases() -> list[Case]:
    return [Case("logistic regression", _logistic, _save, _rows)]


def _data() -> Any:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True, as_frame=True)


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*_data())


def _save(model: Any, folder: str) -> None:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    data, _ = _data()
    mlflow.sklearn.save_model(model, folder, signature=infer_signature(data, model.predict(data)))


def _rows() -> Sequence[Any]:
    data, _ = _data()
    return [data[:3], data[100:120]]
