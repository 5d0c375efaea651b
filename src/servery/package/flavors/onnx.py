"""ONNX graphs as ``mlflow.onnx`` saves them; tensors of more than a kilobyte lie in a file beside the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors import LoadError
from servery_worker.flavors.onnx import predictor_of, session_of

_MODEL_FILE = "model.onnx"


def takes(model: Any) -> bool:
    return is_a(model, "onnx.ModelProto")


def save(model: Any, folder: Path) -> Saved:
    import onnx

    # onnx moves the tensors out of the graph that it is given, and this one is still somebody's.
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    onnx.save_model(graph, folder / _MODEL_FILE, save_as_external_data=True, location=f"{_MODEL_FILE}.data")
    own = {
        "code": None,
        "data": _MODEL_FILE,
        "onnx_session_options": None,
        "onnx_version": onnx.__version__,
        "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    }
    try:
        session = session_of(str(folder / _MODEL_FILE), _MODEL_FILE, own)
    except LoadError as error:
        raise InvalidInput("model", expected="a graph that onnxruntime runs", got=str(error)) from error
    entry = {"data": _MODEL_FILE, "loader_module": "mlflow.onnx"}
    return Saved("onnx", {"python_function": entry, "onnx": own}, predictor_of(session), takes_lists=False)
