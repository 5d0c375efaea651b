"""PyTorch models as ``mlflow.pytorch`` saves them: a pickled module, TorchScript, or a program of ``torch.export``.

A pickle runs code of its author's choice when it is read; a model's class is nowhere else.
"""

from __future__ import annotations

import itertools
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function

_PICKLED, _EXPORTED, _PICKLE_MODULE = "model.pth", "model.pt2", "pickle_module_info.txt"
_READ_BY_PICKLE = frozenset({"", "cloudpickle", "pickle", "mlflow.pytorch.pickle_module"})
"""Modules that write pickles of their own kind, and read them with Python's."""


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    entry = python_function(mlmodel)
    own = mlmodel["flavors"].get("pytorch") or {}
    folder = entry.get("data") or own.get("model_data") or "data"
    exported = f"{folder}/{_EXPORTED}"
    is_pickled = not os.path.exists(os.path.join(directory, exported))
    # The oldest packages call the pickle itself their data.
    name = folder if os.path.isfile(os.path.join(directory, folder)) else f"{folder}/{_PICKLED}"
    torch = framework("torch", name if is_pickled else exported)
    device = _device(torch, entry)
    model = (
        _read_pickle(torch, directory, name, device) if is_pickled else _read_export(torch, directory, exported, device)
    )
    return Loaded(predictor_of(model, device), row_wise=None)


def _device(torch: Any, entry: Mapping[str, Any]) -> Any:
    """The device that the package asks for; else the first GPU where there is one, as MLflow decides."""
    asked = (entry.get("config") or {}).get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=asked)
    except Exception as error:
        raise LoadError(
            f"The package's config asks for the device {asked!r}, which is not there: {one_line(error)}."
        ) from None
    return asked


def _read_pickle(torch: Any, directory: str, name: str, device: Any) -> Any:
    path = os.path.join(directory, name)
    check_there(path, name)
    options: dict[str, Any] = {
        "pickle_module": _pickle_module(os.path.join(os.path.dirname(path), _PICKLE_MODULE), name)
    }
    if not torch.__version__.startswith("1."):  # Most of those do not know the option.
        options["weights_only"] = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It warns of TorchScript, which it reads all the same.
            model = torch.load(path, map_location=device, **options)
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error
    if not isinstance(model, torch.nn.Module):
        raise LoadError(f"The model in {name!r} is a {type(model).__name__}; expected a torch.nn.Module.")
    return model.eval().to(device)


def _pickle_module(path: str, name: str) -> Any:
    """The module that reads what the one named in the package's file has written."""
    wrote = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            wrote = file.read().strip()
    if wrote in _READ_BY_PICKLE:
        return pickle
    return framework(wrote, name)


def _read_export(torch: Any, directory: str, name: str, device: Any) -> Any:
    """A traced program stays on the device that it was traced on."""
    try:
        model = torch.export.load(os.path.join(directory, name)).module()
    except Exception as error:
        raise LoadError(f"The model in {name!r} does not load: {one_line(error)}.") from error
    wanted = torch.device(device).type
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.device.type != wanted:
            raise LoadError(f"The model in {name!r} was exported on {tensor.device.type}, and cannot run on {wanted}.")
    return model


def predictor_of(model: Any, device: Any) -> Callable[[Any, Any], Any]:
    """The answers of a module that lies on ``device``: an array for an array, a frame with its index for a frame."""
    import numpy as np
    import pandas as pd
    import torch

    takes_frames = _is_forecasting(model)

    def predict(data: Any, params: Any) -> Any:
        if params and "device" in params:
            raise ValueError("The device is chosen when the model is loaded; it is no param.")
        is_frame = isinstance(data, pd.DataFrame)
        if not is_frame and (takes_frames or not isinstance(data, np.ndarray)):
            expected = "a table" if takes_frames else "an array or a table"
            raise TypeError(f"The model takes {expected}; the input is a {type(data).__name__}.")
        with torch.no_grad():
            if takes_frames:
                output = model.predict(data)
            else:
                array = data.to_numpy(dtype=np.float32) if is_frame else data
                output = model(torch.from_numpy(array).to(device), **(params or {}))
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"The model gave a {type(output).__name__}; expected one tensor.")
        answer = output.cpu().numpy()
        return pd.DataFrame(answer, index=data.index) if is_frame and not takes_frames else answer

    return predict


def _is_forecasting(model: Any) -> bool:
    """Models of pytorch-forecasting make their tensors of a table by themselves."""
    base = getattr(sys.modules.get("pytorch_forecasting.models"), "BaseModel", None)
    return isinstance(base, type) and isinstance(model, base)
