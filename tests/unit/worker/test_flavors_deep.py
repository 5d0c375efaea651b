"""What packages of PyTorch, Keras and TensorFlow say where something is missing. Their models are in the matrix."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from servery_worker.predictor import LoadError, load


@pytest.fixture(autouse=True)
def no_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "keras", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)


def package(flavor: str, own: dict[str, Any], **entry: Any) -> dict[str, Any]:
    return {"flavors": {"python_function": {"loader_module": f"mlflow.{flavor}", **entry}, flavor: own}}


@pytest.mark.parametrize(
    ("mlmodel", "cause"),
    [
        (package("pytorch", {}, data="data"), "The model in 'data/model.pth' needs torch"),
        (
            package("keras", {"data": "data", "save_exported_model": False}),
            "The model in 'data/model.keras' needs keras",
        ),
        (package("keras", {"save_exported_model": True}), "The model in 'data/model' needs tensorflow"),
        (package("keras", {"data": "data"}, data="data"), "The model in 'data/model.h5' needs tensorflow"),
        (package("tensorflow", {"model_type": "keras"}, data="data"), "The model in 'data/model.h5' needs tensorflow"),
    ],
    ids=["pytorch", "keras", "keras, exported", "keras before 3", "tensorflow"],
)
def test_a_missing_framework_is_named(mlmodel: dict[str, Any], cause: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        load(str(tmp_path), mlmodel)
    assert str(caught.value) == f"{cause}, which its environment does not have."


@pytest.mark.parametrize(
    ("mlmodel", "cause"),
    [
        (
            package("tensorflow", {"model_type": "jax"}),
            "The package's model_type is 'jax'; expected keras, tf2-module or tf1-estimator.",
        ),
        (
            package("tensorflow", {"model_type": "tf2-module", "saved_model_dir": "tf2model"}),
            "The package has no file 'tf2model', where its MLmodel says that the model lies.",
        ),
        (
            package("tensorflow", {"saved_model_dir": "tfmodel"}),
            "The package has no file 'tfmodel', where its MLmodel says that the model lies.",
        ),
    ],
    ids=["unknown type", "module", "estimator"],
)
def test_what_a_tensorflow_package_lacks_is_named(mlmodel: dict[str, Any], cause: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        load(str(tmp_path), mlmodel)
    assert str(caught.value) == cause
