"""What a library is not left to do with what it is given: bring any type to life, or open any file.

Which types may come to life when a skops file is read is the server's list; a package's own is never asked.

Reading a file of a trusted type calls its constructor or its ``__setstate__`` with values of the file's choice. So a
whole package is never trusted: scipy's distributions run source text that they find in their state, and numpy's memmap
makes files.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

_ESTIMATORS = frozenset(
    {
        "_loss",
        "calibration",
        "cluster",
        "compose",
        "covariance",
        "cross_decomposition",
        "decomposition",
        "discriminant_analysis",
        "dummy",
        "ensemble",
        "feature_extraction",
        "feature_selection",
        "frozen",
        "gaussian_process",
        "impute",
        "isotonic",
        "kernel_approximation",
        "kernel_ridge",
        "linear_model",
        "manifold",
        "metrics",
        "mixture",
        "model_selection",
        "multiclass",
        "multioutput",
        "naive_bayes",
        "neighbors",
        "neural_network",
        "pipeline",
        "preprocessing",
        "random_projection",
        "semi_supervised",
        "svm",
        "tree",
    }
)
"""The parts of scikit-learn whose classes hold nothing but what was learned. Left out are those that read files, start
processes or call what they are given."""

_CALCULATIONS = frozenset({"feature_selection", "metrics"})
"""The parts of scikit-learn whose functions only calculate, such as ``f_classif``."""

_BY_NAME = frozenset(
    {
        "catboost.core.CatBoost",
        "catboost.core.CatBoostClassifier",
        "catboost.core.CatBoostRanker",
        "catboost.core.CatBoostRegressor",
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMModel",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "numpy.max",
        "numpy.mean",
        "numpy.median",
        "numpy.min",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._interpolate.interp1d",
        "scipy.sparse._csr.csr_array",
        "scipy.sparse._csr.csr_matrix",
        "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        "sklearn.utils.deprecation._DictWithDeprecatedKeys",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBModel",
        "xgboost.sklearn.XGBRFClassifier",
        "xgboost.sklearn.XGBRFRegressor",
        "xgboost.sklearn.XGBRanker",
        "xgboost.sklearn.XGBRegressor",
    }
)


def is_trusted(name: str) -> bool:
    """Whether a type or function, named as ``module.name``, may be used by a skops file."""
    if name in _BY_NAME:
        return True
    module, _, attribute = name.rpartition(".")
    package, *parts = module.split(".")
    if package != "sklearn" or not parts or parts[0] not in _ESTIMATORS or "tests" in parts:
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    # What a module has imported from elsewhere is not of scikit-learn.
    is_own = getattr(found, "__module__", None) == module
    return is_own and (inspect.isclass(found) or parts[0] in _CALCULATIONS)


def refuse_file_name(data: Any) -> None:
    """Raises TypeError for a text, which XGBoost, LightGBM and CatBoost take for the name of a file to predict from."""
    if isinstance(data, (str, bytes)):
        raise TypeError("the input is expected to be a table or an array; it is a text")
