"""ONNX graphs as ``mlflow.onnx`` saves them, run by onnxruntime; how inputs become tensors is that flavor's, too.

The flavor's entry may name execution providers and session options. What this machine's onnxruntime cannot run is
left out, down to the CPU, so that a model from a machine with another accelerator still answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from servery_worker.flavors import Loaded, LoadError, check_there, framework, one_line, python_function

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""For packages that name none, as mlflow wrote them before 1.21."""
_CPU = ["CPUExecutionProvider"]


def load(directory: str, mlmodel: Mapping[str, Any]) -> Loaded:
    own = mlmodel["flavors"].get("onnx") or {}
    name = python_function(mlmodel).get("data") or own.get("data") or "model.onnx"
    return Loaded(predictor_of(session_of(os.path.join(directory, name), name, own)), row_wise=None)


def session_of(path: str, name: str, own: Mapping[str, Any]) -> Any:
    """The onnxruntime session of a file, with what ``own``, the flavor's entry, says of it.

    Raises:
        LoadError: the file is not there, or is no graph that onnxruntime runs.
    """
    check_there(path, name)
    onnxruntime = framework("onnxruntime", name)
    providers = _usable(own.get("providers"), onnxruntime.get_available_providers())
    try:
        options = _options(onnxruntime, own.get("onnx_session_options") or {})
        try:
            return onnxruntime.InferenceSession(path, sess_options=options, providers=providers)
        except Exception:
            # A provider that is compiled in may still lack its driver.
            return onnxruntime.InferenceSession(path, sess_options=options, providers=_CPU)
    except Exception as error:
        cause = one_line(error).replace(os.path.dirname(path) + os.sep, "")
        raise LoadError(f"The model in {name!r} does not load: {cause}.") from error


def _usable(named: Any, available: Sequence[str]) -> list[Any]:
    """The providers, names or pairs of a name and options, that this onnxruntime has; YAML made lists of the pairs."""
    asked = [named] if isinstance(named, str) else named or _PROVIDERS
    entries = [entry if isinstance(entry, list) and entry else [entry] for entry in asked]
    usable = [tuple(entry) if len(entry) > 1 else entry[0] for entry in entries if entry[0] in available]
    return usable or _CPU


def _options(onnxruntime: Any, given: Mapping[str, Any]) -> Any:
    """The session's options from those that mlflow knows; an empty or absent one leaves onnxruntime's default."""
    options = onnxruntime.SessionOptions()
    for name in ("inter_op_num_threads", "intra_op_num_threads"):
        if given.get(name):
            setattr(options, name, given[name])
    modes = {
        "SEQUENTIAL": onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
        "PARALLEL": onnxruntime.ExecutionMode.ORT_PARALLEL,
    }
    mode = modes.get(str(given.get("execution_mode")).upper())
    if mode is not None:
        options.execution_mode = mode
    if given.get("graph_optimization_level"):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(given["graph_optimization_level"])
    for key, value in (given.get("extra_session_config") or {}).items():
        options.add_session_config_entry(key, value)
    return options


def predictor_of(session: Any) -> Callable[[Any, Any], Any]:
    """``predict(data, params)`` of a session: a frame for a frame, a dict of arrays for an array or a dict of them."""
    inputs = {entry.name: entry.type for entry in session.get_inputs()}
    outputs = [entry.name for entry in session.get_outputs()]

    def predict(data: Any, _params: Any) -> Any:
        import pandas as pd

        feeds = {name: _narrowed(value, inputs.get(name)) for name, value in _feeds(data, list(inputs)).items()}
        answers = dict(zip(outputs, session.run(outputs, feeds)))
        return _as_frame(answers) if isinstance(data, pd.DataFrame) else answers

    return predict


def _feeds(data: Any, names: Sequence[str]) -> Mapping[str, Any]:
    """The tensor of each input: a frame is one tensor, or one a column where the graph has several inputs."""
    import numpy as np
    import pandas as pd

    if isinstance(data, dict):
        return data
    if isinstance(data, pd.DataFrame):
        if len(names) == 1:
            return {names[0]: data.to_numpy()}
        missing = [name for name in names if name not in data]
        if missing:
            raise ValueError(f"The input has no columns {missing}; the model takes {list(names)}.")
        return {name: data[name].to_numpy() for name in names}
    if not isinstance(data, np.ndarray):
        raise TypeError(f"The input is expected to be a table, an array or a dict of arrays; it is {type(data)}.")
    if len(names) != 1:
        raise ValueError(f"The model takes the inputs {list(names)}, but one array came; send an array for each name.")
    return {names[0]: data}


def _narrowed(value: Any, kind: str | None) -> Any:
    """JSON numbers are 64-bit floats; a graph that wants 32 bits takes no others."""
    if kind == "tensor(float)" and str(getattr(value, "dtype", "")) == "float64":
        return value.astype("float32")
    return value


def _as_frame(answers: Mapping[str, Any]) -> Any:
    """Each output as a column, flattened, as mlflow does."""
    import numpy as np
    import pandas as pd

    columns = {name: np.asarray(answer).reshape(-1) for name, answer in answers.items()}
    if len({len(column) for column in columns.values()}) > 1:
        sizes = ", ".join(f"{name}: {len(column)}" for name, column in columns.items())
        raise ValueError(f"The model's outputs are no table, their sizes differ ({sizes}); send an array instead.")
    return pd.DataFrame(columns)
