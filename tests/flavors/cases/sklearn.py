"""scikit-learn: every serialization that mlflow writes, and each method that its ``pyfunc_predict_fn`` may name."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.flavors.case import Case

_REQUIREMENTS = ["scikit-learn"]
"""Given, because mlflow would take seconds to find them for each model; the group's environment has them."""


def cases() -> list[Case]:
    import mlflow

    pickled = functools.partial(_save, form="pickle")
    found = [
        Case("logistic regression", _logistic, _save, _rows),
        Case("logistic regression, pickle", _logistic, pickled, _rows),
        Case("logistic regression, saved as before mlflow 1.10", _logistic, _save_as_once, _rows),
        Case("logistic regression of arrays", _logistic_of_arrays, _save_bare, _arrays),
        Case("logistic regression of tensors", _logistic_of_arrays, _save_tensors, _arrays),
        Case("random forest of mixed columns", _mixed_forest, _save_mixed, _mixed_rows),
        Case("gradient boosting with missing values", _histograms, _save_holes, _holes),
        Case("two outputs at once", _two_outputs, _save, _rows),
        Case("k-means", _clusters, _save, _rows),
        Case("isolation forest", _outliers, _save, _rows),
        Case("text pipeline", _texts, _save_texts, _text_rows),
        Case("grid search", _grid, _save, _rows),
        Case("probabilities", _logistic, _method("predict_proba"), _rows, ours=False),
        # ``score(X, y)`` is never given y; of clusters, ``score(X)`` is.
        Case("score of clusters", _clusters, _method("score"), _rows, ours=False),
    ]
    if _at_least(mlflow.__version__, 2, 10):
        found.append(Case("log probabilities", _bayes, _method("predict_log_proba"), _rows, ours=False))
        found.append(Case("joint log probabilities", _bayes, _method("predict_joint_log_proba"), _rows, ours=False))
    if _at_least(mlflow.__version__, 3, 0):
        found += _skops_cases()
    return found


def _skops_cases() -> list[Case]:
    models: dict[str, tuple[Any, Any, Any]] = {
        "logistic regression": (_logistic, _save, _rows),
        "random forest of mixed columns": (_mixed_forest, _save_mixed, _mixed_rows),
        "gradient boosting with missing values": (_histograms, _save_holes, _holes),
        "best columns": (_best_columns, _save, _rows),
        "neighbours": (_neighbours, _save, _rows),
        "text pipeline": (_texts, _save_texts, _text_rows),
        "pipeline that holds an XGBClassifier": (_xgboost_inside, _save, _rows),
        "pipeline that holds an LGBMRegressor": (_lightgbm_inside, _save, _rows),
    }
    return [
        Case(f"{name}, skops", model, functools.partial(save, form="skops"), rows)
        for name, (model, save, rows) in models.items()
    ]


def _at_least(version: str, *parts: int) -> bool:
    return tuple(int(part) for part in version.split(".")[:2]) >= parts


def _data() -> Any:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True, as_frame=True)


def _scaled(estimator: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), estimator).fit(*_data())


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression())


def _logistic_of_arrays() -> Any:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))


def _bayes() -> Any:
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB().fit(*_data())


def _neighbours() -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return _scaled(KNeighborsClassifier())


def _best_columns() -> Any:
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    return make_pipeline(SelectKBest(f_classif, k=8), DecisionTreeClassifier(random_state=0)).fit(*_data())


def _grid() -> Any:
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    return GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [2, 4]}, cv=3).fit(*_data())


def _clusters() -> Any:
    from sklearn.cluster import KMeans

    return KMeans(4, n_init=2, random_state=0).fit(_data()[0])


def _outliers() -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=20, random_state=0).fit(_data()[0])


def _two_outputs() -> Any:
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.tree import DecisionTreeRegressor

    data, target = _data()
    both = data[["mean area"]].assign(target=target)
    return MultiOutputRegressor(DecisionTreeRegressor(max_depth=4, random_state=0)).fit(data, both)


def _xgboost_inside() -> Any:
    import xgboost

    return _scaled(xgboost.XGBClassifier(n_estimators=5, n_jobs=1))


def _lightgbm_inside() -> Any:
    import lightgbm

    return _scaled(lightgbm.LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1))


def _holed() -> Any:
    data, target = _data()
    data = data.iloc[:, :6].copy()
    data.iloc[::3, 1] = None
    return data, target


def _histograms() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(*_holed())


def _mixed() -> Any:
    """Wine: a column of texts, one of whole numbers, one of truths, and doubles."""
    from sklearn.datasets import load_wine

    data, target = load_wine(return_X_y=True, as_frame=True)
    data["hue"] = data["hue"].map(lambda hue: "red" if hue > 1 else "pale")
    data["proline"] = data["proline"].astype("int64")
    data["is_strong"] = data["alcohol"] > 13
    return data, target


def _mixed_forest() -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["hue"]), remainder="passthrough")
    return make_pipeline(encoder, RandomForestClassifier(10, random_state=0, n_jobs=1)).fit(*_mixed())


def _sentences() -> Any:
    """The descriptions of scikit-learn's own data sets, line by line, and whether each is about flowers."""
    from sklearn.datasets import load_iris, load_wine

    about = [[line for line in load().DESCR.splitlines() if len(line) > 20] for load in (load_iris, load_wine)]
    return about[0] + about[1], [1] * len(about[0]) + [0] * len(about[1])


def _texts() -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(*_sentences())


def _write(model: Any, folder: str, signature: Any, form: str, **how: Any) -> None:
    import mlflow.sklearn

    if form == "skops":
        how["skops_trusted_types"] = _asked(model)
    mlflow.sklearn.save_model(
        model, folder, pip_requirements=_REQUIREMENTS, signature=signature, serialization_format=form, **how
    )


def _asked(model: Any) -> list[str]:
    """The types that an author has to name to save the model as skops."""
    import skops.io

    return list(skops.io.get_untrusted_types(data=skops.io.dumps(model)))


def _save(model: Any, folder: str, *, form: str = "cloudpickle", **how: Any) -> None:
    from mlflow.models import infer_signature

    data, _ = _data()
    _write(model, folder, infer_signature(data, model.predict(data)), form, **how)


def _method(name: str) -> Any:
    return functools.partial(_save, pyfunc_predict_fn=name)


def _save_as_once(model: Any, folder: str) -> None:
    import yaml

    _save(model, folder, form="pickle")
    path = Path(folder, "MLmodel")
    fields = yaml.safe_load(path.read_text())
    fields["flavors"]["python_function"] = {"data": "model.pkl", "loader_module": "mlflow.sklearn"}
    fields["flavors"]["sklearn"] = {"pickled_model": "model.pkl", "sklearn_version": "0.22"}
    path.write_text(yaml.safe_dump(fields))


def _save_bare(model: Any, folder: str) -> None:
    _write(model, folder, None, "cloudpickle")


def _save_tensors(model: Any, folder: str) -> None:
    from mlflow.models import infer_signature

    data = _arrays()[0]
    _write(model, folder, infer_signature(data, model.predict(data)), "cloudpickle")


def _save_mixed(model: Any, folder: str, form: str = "cloudpickle") -> None:
    from mlflow.models import infer_signature

    data, _ = _mixed()
    _write(model, folder, infer_signature(data, model.predict(data)), form)


def _save_holes(model: Any, folder: str, form: str = "cloudpickle") -> None:
    from mlflow.models import infer_signature

    data, _ = _holed()
    _write(model, folder, infer_signature(data, model.predict(data)), form)


def _save_texts(model: Any, folder: str, form: str = "cloudpickle") -> None:
    _write(model, folder, None, form)


def _rows() -> Sequence[Any]:
    data, _ = _data()
    whole = data[30:35].round().astype("int32")
    backwards = data[data.columns[::-1]][40:45]
    return [data[:3], data[100:120], data[7:8], whole, backwards, data[:2].assign(more="than asked")]


def _arrays() -> Sequence[Any]:
    from sklearn.datasets import load_iris

    data, _ = load_iris(return_X_y=True)
    return [data[:3], data[100:101], data[20:80]]


def _holes() -> Sequence[Any]:
    data, _ = _holed()
    return [data[:5], data[3:4], data[100:160]]


def _mixed_rows() -> Sequence[Any]:
    data, _ = _mixed()
    return [data[:5], data[60:61], data, data[data.columns[::-1]][3:9], data[:2].assign(hue="blue")]


def _text_rows() -> Sequence[Any]:
    sentences, _ = _sentences()
    return [sentences[:3], sentences[-1:], sentences]
