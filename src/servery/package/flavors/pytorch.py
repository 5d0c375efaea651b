"""PyTorch modules, pickled, scripted or exported, as ``mlflow.pytorch`` saves them.

A module is pickled: an export is of the one path that its example takes, and may be of its one batch size. Who wants
one saves ``torch.export.export(...)`` of the module.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servery.package import pickling
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.pytorch import predictor_of

_FOLDER = "data"
_EXPORTED_PROGRAM = "torch.export.ExportedProgram"
# A stock mlflow imports this module to read the file; cloudpickle, which writes it, cannot read for torch.
_PICKLE_MODULE = "mlflow.pytorch.pickle_module"


def takes(model: Any) -> bool:
    return is_a(model, "torch.nn.Module", _EXPORTED_PROGRAM)


def save(model: Any, folder: Path) -> Saved:
    import torch

    data = folder / _FOLDER
    data.mkdir()
    if is_a(model, _EXPORTED_PROGRAM):
        torch.export.save(model, data / "model.pt2")
        traced = model.module()
        predict = predictor_of(traced, _device_of(traced))
    else:
        (data / "pickle_module_info.txt").write_text(_PICKLE_MODULE)
        if isinstance(model, torch.jit.ScriptModule):
            torch.jit.save(model, str(data / "model.pth"))
        else:
            cloudpickle = pickling.import_cloudpickle()
            pickling.dump(model, data / "model.pth", functools.partial(torch.save, pickle_module=cloudpickle))
        predict = _in_evaluation(model, predictor_of(model, _device_of(model)))
    entries: dict[str, dict[str, Any]] = {
        "python_function": {
            "config": {"device": None},
            "data": _FOLDER,
            "loader_module": "mlflow.pytorch",
            "pickle_module_name": _PICKLE_MODULE,
        },
        "pytorch": {"code": None, "model_data": _FOLDER, "pytorch_version": str(torch.__version__)},
    }
    return Saved("pytorch", entries, predict)


def _device_of(model: Any) -> Any:
    tensor = next((tensor for tensors in (model.parameters(), model.buffers()) for tensor in tensors), None)
    return "cpu" if tensor is None else tensor.device


def _in_evaluation(model: Any, predict: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A loaded model evaluates; this one may be in training, and goes on with it."""

    def evaluated(data: Any, params: Any) -> Any:
        with _evaluating(model):
            return predict(data, params)

    return evaluated


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, is_training in modes:
            module.training = is_training
