"""scikit-learn models as ``mlflow.sklearn`` saves them: cloudpickle, pickle (or joblib) or skops.

A pickle runs code of its author's choice when it is read. skops does so only for types it is told to trust: those of
``servery_worker.trusted``, whatever the package asks for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function, unpickle
from servery_worker.trusted import is_trusted

_PACKAGES = frozenset({"sklearn", "xgboost", "lightgbm", "catboost"})
_WHOLE_INPUT = frozenset({"FunctionTransformer", "MiniBatchNMF", "NMF"})
"""What may look at other rows: anybody's function, and factorizations that stop when the whole input has settled."""
_BY_LOT = frozenset({"stratified", "uniform"})
"""Strategies of a dummy classifier that draw lots for the rows in turn."""
_PARTS_MAX = 100_000
_OF_ALL_ROWS = frozenset({"score", "fit_predict", "fit_transform"})


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    entry = python_function(mlmodel)
    own = mlmodel["flavors"].get("sklearn") or {}
    # Up to MLflow 1.9 the file was named by ``data``.
    name = entry.get("data") or entry.get("model_path") or own.get("pickled_model") or "model.pkl"
    model = read(directory, name, own.get("serialization_format") or "pickle")
    function = entry.get("predict_fn") or "predict"
    predict = getattr(model, function, None)
    if not callable(predict):
        raise LoadError(f"The model, a {type(model).__name__}, has no method {function!r}.")
    # ``score(X, y)``, which wants more than an input, raises, as in MLflow.
    return Loaded(lambda data, _params: predict(data), False if _is_of_all_rows(model, function) else row_wise(model))


def _is_of_all_rows(model: Any, function: str) -> bool:
    """Does the method answer for all rows at once: a score, or, of several targets, an array of probabilities each?

    As many targets as rows would pass for an answer a row.
    """
    several = isinstance(getattr(model, "classes_", None), list)
    return function in _OF_ALL_ROWS or (several and function != "predict")


def row_wise(model: Any) -> bool | None:
    """True for an estimator that is made of scikit-learn's own parts alone, which look at each row by itself."""
    if not hasattr(model, "get_params"):
        return None
    try:
        return True if all(_is_row_wise(part) for part in _parts(model)) else None
    except Exception:
        return None  # No estimator, or a broken one; only a proof can tell.


def _parts(model: Any) -> Iterator[Any]:
    """What an estimator is made of: its params, and what fitting made of them, as deep as estimators and lists go."""
    waiting, seen = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if len(seen) > _PARTS_MAX:
            raise OverflowError("an estimator of too many parts")
        yield part
        if isinstance(part, Mapping):
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple, set)) or getattr(getattr(part, "dtype", None), "kind", "") == "O":
            waiting.extend(getattr(part, "flat", part))
        elif hasattr(type(part), "fit"):
            waiting += [*part.get_params(deep=False).values(), *getattr(part, "__dict__", {}).values()]


def _is_row_wise(part: Any) -> bool:
    kind = type(part)
    if hasattr(kind, "fit"):
        by_lot = kind.__name__ == "DummyClassifier" and part.strategy in _BY_LOT
        return not by_lot and kind.__module__.partition(".")[0] in _PACKAGES and kind.__name__ not in _WHOLE_INPUT
    is_known = str(getattr(part, "__module__", "")).partition(".")[0] in _PACKAGES
    return is_known or isinstance(part, type) or not callable(part)


def read(directory: str, name: str, serialization: Any) -> Any:
    """The object in a package's file; raises LoadError."""
    path = os.path.join(directory, name)
    if serialization == "skops":
        return _read_skops(path, name)
    if serialization == "cloudpickle":
        return unpickle(path, name, framework("cloudpickle", name).load)
    if serialization == "pickle":
        return unpickle(path, name, framework("joblib", name).load)  # It reads what pickle wrote, too.
    raise LoadError(f"The model in {name!r} is saved as {serialization!r}; expected cloudpickle, pickle or skops.")


def _read_skops(path: str, name: str) -> Any:
    check_there(path, name)
    skops = framework("skops.io", name)
    try:
        asked = skops.get_untrusted_types(file=path)
        refused = [each for each in asked if not is_trusted(each)]
        if not refused:
            return skops.load(path, trusted=asked)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error
    listed = ", ".join(refused[:5])
    raise LoadError(
        f"The model in {name!r} holds types that are not trusted: {listed}; save it as cloudpickle instead."
    )
