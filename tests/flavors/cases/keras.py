"""Keras 3 as ``mlflow.keras`` saves it, on whichever backend the group has: sequential, functional, exported."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from tests.flavors.case import Case

_FLOAT32 = 1e-5
"""How far answers of 32 bits may lie apart."""


def cases() -> list[Case]:
    # Keras reads it when it is imported; what these environments hold is one backend each.
    backend = next(name for name in ("tensorflow", "torch", "jax") if importlib.util.find_spec(name))
    os.environ["KERAS_BACKEND"] = backend
    found = [
        Case("sequential", sequential, _save, arrays, tolerance=_FLOAT32),
        Case("without a signature", sequential, partial(_save, signed=False), arrays, tolerance=_FLOAT32),
        Case("over a table", sequential, partial(_save, signed=False), _frames, tolerance=_FLOAT32),
        Case("convolution, dropout and batch norm", convolution, _save, images, tolerance=_FLOAT32),
        Case("two inputs by name", two_inputs, _save, named, tolerance=_FLOAT32),
        Case("two outputs", two_outputs, _save, arrays, tolerance=_FLOAT32),
    ]
    if backend == "tensorflow":
        exported = partial(_save, exported=True)
        found.append(Case("exported", sequential, exported, arrays, tolerance=_FLOAT32))
    return found


def digits() -> Any:
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    return (data / 16).astype("float32"), target


def arrays() -> Sequence[Any]:
    data, _ = digits()
    return [data[:3], data[100:150], data[5:6], data[::-1][:4].copy()]


def _frames() -> Sequence[Any]:
    import pandas as pd

    return [pd.DataFrame(rows.astype("float64")) for rows in arrays()]


def images() -> Sequence[Any]:
    return [rows.reshape(-1, 8, 8, 1) for rows in arrays()]


def named() -> Sequence[Any]:
    return [{"left": rows[:, :32].copy(), "right": rows[:, 32:].copy()} for rows in arrays()]


def fitted(model: Any, data: Any, target: Any = None) -> Any:
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data, digits()[1] if target is None else target, epochs=1, verbose=0)
    return model


def sequential() -> Any:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(32, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return fitted(model, digits()[0])


def convolution() -> Any:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return fitted(model, digits()[0].reshape(-1, 8, 8, 1))


def two_inputs() -> Any:
    import keras

    left, right = keras.Input((32,), name="left"), keras.Input((32,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    model = keras.Model({"left": left, "right": right}, keras.layers.Dense(10, activation="softmax")(joined))
    data = digits()[0]
    return fitted(model, {"left": data[:, :32], "right": data[:, 32:]})


def two_outputs() -> Any:
    import keras

    given = keras.Input((64,))
    outputs = {"digit": keras.layers.Dense(10, name="digit")(given), "ink": keras.layers.Dense(1, name="ink")(given)}
    model = keras.Model(given, outputs)
    model.compile("adam", {"digit": "mse", "ink": "mse"})
    data, _ = digits()
    model.fit(data, {"digit": data[:, :10], "ink": data.mean(axis=1)}, epochs=1, verbose=0)
    return model


def _save(model: Any, folder: str, *, signed: bool = True, exported: bool = False) -> None:
    import mlflow.keras

    options: dict[str, Any] = {"pip_requirements": ["keras"], "signature": signature_of(model) if signed else None}
    mlflow.keras.save_model(model, folder, save_exported_model=exported, **options)


def signature_of(model: Any) -> Any:
    """Of what the model was built to take, and of no output."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    by_name = len(model.inputs) > 1
    return ModelSignature(
        Schema(
            [
                TensorSpec(np.dtype("float32"), (-1, *tensor.shape[1:]), tensor.name if by_name else None)
                for tensor in model.inputs
            ]
        )
    )
