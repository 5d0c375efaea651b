"""PyTorch: pickled modules in both file formats, TorchScript and exported programs; tensors of several dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tests.flavors.case import Case

_REQUIREMENTS = ["torch"]
"""Given, because mlflow would load each model once more to find them."""
_FLOAT32 = 1e-5
"""How far answers of 32 bits may lie apart."""


def cases() -> list[Case]:
    pickled = partial(_save, serialization_format="pickle")
    found = [
        Case("module, cloudpickle", _classifier, pickled, _arrays, tolerance=_FLOAT32),
        Case("module, without a signature", _classifier, partial(pickled, signed=False), _unsigned, tolerance=_FLOAT32),
        Case("module, over a table", _classifier, partial(pickled, example=_frame), _frames, tolerance=_FLOAT32),
        Case("module, pickle", _plain_modules, partial(pickled, pickle_module="pickle"), _arrays, tolerance=_FLOAT32),
        Case("module, the file format before 1.6", _plain_modules, _save_legacy, _arrays, tolerance=_FLOAT32),
        Case("TorchScript", _scripted, pickled, _arrays, tolerance=_FLOAT32),
        Case("TorchScript, traced", _traced, pickled, _arrays, tolerance=_FLOAT32),
        Case(
            "convolution, dropout and batch norm",
            _convolution,
            partial(pickled, example=_images),
            _image_inputs,
            tolerance=_FLOAT32,
        ),
        Case(
            "embedding of integers, with params",
            _embedding,
            partial(pickled, example=_tokens, params={"scale": 1.0}),
            _token_inputs,
            tolerance=_FLOAT32,
        ),
    ]
    if _exports():
        exported = partial(_save, serialization_format="pt2")
        found.append(Case("exported by mlflow", _classifier, exported, _arrays, tolerance=_FLOAT32))
        found.append(Case("an ExportedProgram", _exported, _save_exported, _arrays, tolerance=_FLOAT32))
    if not _exports():  # mlflow 2 hands its modules no params.
        found = [case for case in found if "params" not in case.name]
    # The loader of mlflow 2.9 knows no config, which mlflow 3 writes, and servery after it.
    return found if _takes_config() else [replace(case, ours=False) for case in found]


def _exports() -> bool:
    import inspect

    import mlflow.pytorch

    return "serialization_format" in inspect.signature(mlflow.pytorch.save_model).parameters


def _takes_config() -> bool:
    import inspect

    import mlflow.pytorch

    return "model_config" in inspect.signature(mlflow.pytorch._load_pyfunc).parameters


def _digits() -> Any:
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    return (data / 16).astype("float32"), target


def _arrays() -> Sequence[Any]:
    data, _ = _digits()
    return [data[:3], data[100:120], data[5:6], data[::-1][:4].copy()]


def _unsigned() -> Sequence[Any]:
    import pandas as pd

    # Numbers of JSON have 64 bits, and without a signature only a table becomes what the layers take.
    return [pd.DataFrame(rows.astype("float64")) for rows in _arrays()]


def _frame() -> Any:
    import pandas as pd

    data, _ = _digits()
    return pd.DataFrame(data, columns=[f"pixel_{number}" for number in range(data.shape[1])])


def _frames() -> Sequence[Any]:
    frame = _frame()
    inputs = [frame[:3], frame[100:120], frame[5:6], frame[frame.columns[::-1]][:4]]
    # mlflow 2.9 makes no floats of integers.
    return [*inputs, frame[:3].round().astype("int64")] if _takes_config() else inputs


def _images() -> Any:
    data, _ = _digits()
    return data.reshape(-1, 1, 8, 8)


def _image_inputs() -> Sequence[Any]:
    return [_images()[:3], _images()[200:240], _images()[7:8]]


def _tokens() -> Any:
    return (_digits()[0][:, :16] * 16).astype("int64")


def _token_inputs() -> Sequence[Any]:
    tokens = _tokens()
    return [(tokens[:3], {"scale": 1.0}), (tokens[10:30], {"scale": 2.5}), tokens[:1]]


def _fitted(model: Any, data: Any, steps: int = 30) -> Any:
    import torch

    target = torch.from_numpy(_digits()[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.from_numpy(data)), target).backward()
        optimizer.step()
    return model


def _plain_modules() -> Any:
    from torch import nn

    return _fitted(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10)), _digits()[0])


def _classifier() -> Any:
    """A class that no other process can import: it must travel in the pickle."""
    from torch import nn

    class Classifier(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))

        def forward(self, pixels: Any) -> Any:
            return self.layers(pixels).softmax(dim=1)

    return _fitted(Classifier(), _digits()[0])


def _scripted() -> Any:
    import torch

    return torch.jit.script(_plain_modules().eval())


def _traced() -> Any:
    import torch

    return torch.jit.trace(_plain_modules().eval(), torch.from_numpy(_digits()[0][:3]))


def _convolution() -> Any:
    from torch import nn

    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 10))
    return _fitted(nn.Sequential(*layers), _images(), steps=10)


def _embedding() -> Any:
    from torch import nn

    class Tokens(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(17, 8)
            self.out = nn.Linear(8, 10)

        def forward(self, tokens: Any, scale: float = 1.0) -> Any:
            return self.out(self.embedding(tokens).mean(dim=1)) * scale

    return _fitted(Tokens(), _tokens(), steps=5)


def _exported() -> Any:
    import torch

    rows = torch.from_numpy(_digits()[0][:3])
    return torch.export.export(_plain_modules().eval(), (rows,), dynamic_shapes=({0: torch.export.Dim("rows")},))


def _save(
    model: Any,
    folder: str,
    *,
    example: Callable[[], Any] | None = None,
    params: dict[str, Any] | None = None,
    signed: bool = True,
    pickle_module: str | None = None,
    serialization_format: str = "pickle",
) -> None:
    import importlib

    import mlflow.pytorch
    import torch
    from mlflow.models import infer_signature

    data = (example or _rows)()[:3]
    values = data.to_numpy() if hasattr(data, "to_numpy") else data
    with torch.no_grad():
        output = model.eval()(torch.from_numpy(values)).numpy()
    options: dict[str, Any] = {"pip_requirements": _REQUIREMENTS}
    options["signature"] = infer_signature(data, output, params) if signed else None
    if pickle_module:
        options["pickle_module"] = importlib.import_module(pickle_module)
    if _exports():
        options["serialization_format"] = serialization_format
    if serialization_format == "pt2":
        options["input_example"] = data
    mlflow.pytorch.save_model(model, folder, **options)


def _rows() -> Any:
    return _digits()[0]


def _save_legacy(model: Any, folder: str) -> None:
    import mlflow.pytorch
    from mlflow.models import infer_signature

    rows = _rows()[:3]
    options: dict[str, Any] = {"serialization_format": "pickle"} if _exports() else {}
    options |= {"pip_requirements": _REQUIREMENTS, "signature": infer_signature(rows, rows[:, :10])}
    mlflow.pytorch.save_model(model, folder, _use_new_zipfile_serialization=False, **options)


def _save_exported(program: Any, folder: str) -> None:
    """What mlflow makes of a module, of a program that its author exported."""
    import mlflow.pytorch
    import torch
    from mlflow.models import infer_signature

    rows = _rows()[:3]
    options: dict[str, Any] = {"pip_requirements": _REQUIREMENTS, "signature": infer_signature(rows, rows[:, :10])}
    mlflow.pytorch.save_model(
        torch.nn.Linear(64, 10), folder, input_example=rows, serialization_format="pt2", **options
    )
    torch.export.save(program, f"{folder}/data/model.pt2")
