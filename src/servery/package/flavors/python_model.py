"""Plain Python: a PythonModel, any object with ``predict``, any function. Pickled whole, and loaded without servery.

The loader module travels in the package's ``code`` folder, so a stock mlflow finds it there and nowhere else.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package import pickling
from servery.package.flavors.saved import Saved, is_a
from servery.package.python_model import FunctionModel

_MODEL_FILE = "model.pkl"
_CODE_FOLDER = "code"
LOADER_MODULE = "servery_python_model"


def takes(model: Any) -> bool:
    return not isinstance(model, type) and (callable(getattr(model, "predict", None)) or callable(model))


def save(model: Any, folder: Path) -> Saved:
    if is_a(model, "mlflow.pyfunc.model.PythonModel"):
        expected = "a model that runs without mlflow; save this one by mlflow.pyfunc.save_model, and servery serves it"
        raise InvalidInput("model", expected=expected, got=f"a {type(model).__name__}, a PythonModel of mlflow")
    streams = callable(getattr(model, "predict_stream", None))
    if streams:
        _check_arguments(model.predict_stream)
    if callable(getattr(model, "predict", None)):
        takes_params = "params" in _check_arguments(model.predict)
    else:
        takes_params = "params" in _check_arguments(model)
        model = FunctionModel(model, takes_params=takes_params)
    pickling.dump(model, folder / _MODEL_FILE)
    (folder / _CODE_FOLDER).mkdir()
    shutil.copyfile(Path(__file__).with_name(f"{LOADER_MODULE}.py"), folder / _CODE_FOLDER / f"{LOADER_MODULE}.py")
    entry = {
        "cloudpickle_version": pickling.import_cloudpickle().__version__,
        "code": _CODE_FOLDER,
        "data": _MODEL_FILE,
        "loader_module": LOADER_MODULE,
        **({"streamable": True} if streams else {}),
    }
    return Saved("python_model", {"python_function": entry}, _caller(model.predict, takes_params=takes_params))


def _caller(predict: Callable[..., Any], *, takes_params: bool) -> Callable[[Any, Any], Any]:
    if takes_params:
        return lambda data, params: predict(data, params=params)
    return lambda data, _params: predict(data)


def _check_arguments(function: Any) -> list[str]:
    """The names of its arguments.

    Raises:
        InvalidInput: it cannot be called with an input alone, as mlflow's ``predict(self, context, model_input)``.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # Some functions written in C do not tell.
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.name != "params"
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    first = next(iter(parameters), None)
    if first is None or len(needed) > 1 or first.kind not in (*positional, inspect.Parameter.VAR_POSITIONAL):
        names = ", ".join(parameter.name for parameter in parameters) or "nothing"
        raise InvalidInput("model", expected="a model that predicts from one argument, the input", got=f"({names})")
    return [parameter.name for parameter in parameters]
