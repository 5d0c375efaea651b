"""ONNX: graphs that skl2onnx made of scikit-learn models, and graphs with several inputs, on the iris data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.flavors.case import Case

_OPTIONS = {
    "execution_mode": "sequential",
    "graph_optimization_level": 99,
    "inter_op_num_threads": 1,
    "intra_op_num_threads": 1,
}


def cases() -> list[Case]:
    return [
        Case("regression, one tensor", _regression, _save_with(_features), _feature_inputs),
        Case("classifier, labels and a matrix", _classifier, _save_with(_array), _array_inputs),
        Case("classifier, a list of dicts", _classifier_with_dicts, _save_with(_features), _feature_inputs),
        Case("labels of text, no signature", _named_labels, _save_with(None), _array_inputs),
        Case("several inputs, a column each", _columns, _save_with(_two_columns), _column_inputs),
        Case("several inputs, a matrix each", _matrices, _save_with(_two_matrices), _matrix_inputs),
        Case("providers and session options", _regression, _save_with_options, _float_inputs),
        Case("weights in a file of their own", _network, _save_with(_features), _feature_inputs),
        Case("64-bit floats and integers", _wide, _save_with(_wide_given), _wide_inputs),
    ]


def _save_with(example: Callable[[], Any] | None) -> Callable[[Any, str], None]:
    def save(model: Any, folder: str) -> None:
        import mlflow.onnx
        from mlflow.models import infer_signature

        signature = None if example is None else infer_signature(example())
        mlflow.onnx.save_model(_copy(model), folder, signature=signature, pip_requirements=[])

    return save


def _save_with_options(model: Any, folder: str) -> None:
    import mlflow.onnx

    providers = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    mlflow.onnx.save_model(
        _copy(model), folder, onnx_execution_providers=providers, onnx_session_options=_OPTIONS, pip_requirements=[]
    )


def _copy(model: Any) -> Any:
    """mlflow moves the weights out of the graph that it saves; the same graph is saved by Servery, too."""
    import copy

    return copy.deepcopy(model)


def _data() -> Any:
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True, as_frame=True)


def _features() -> Any:
    features, _ = _data()
    return features


def _array() -> Any:
    return _features().to_numpy().astype("float32")


def _feature_inputs() -> Sequence[Any]:
    data = _features()
    return [*_float_inputs(), data[list(reversed(data.columns))][60:70], data[:4].round().astype("int32")]


def _float_inputs() -> Sequence[Any]:
    data = _features()
    return [data[:3], data[50:51], data]


def _array_inputs() -> Sequence[Any]:
    data = _array()
    return [data[:3], data[50:51], data]


def _of_sklearn(model: Any, **options: Any) -> Any:
    from skl2onnx import to_onnx

    features, target = _data()
    return to_onnx(model.fit(features.to_numpy(), target), _array()[:1], target_opset=15, **options)


def _regression() -> Any:
    from sklearn.linear_model import LinearRegression

    return _of_sklearn(LinearRegression())


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return _of_sklearn(LogisticRegression(max_iter=500), options={"zipmap": False})


def _classifier_with_dicts() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return _of_sklearn(RandomForestClassifier(5, random_state=0), options={"zipmap": True})


def _named_labels() -> Any:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    iris = load_iris()
    model = DecisionTreeClassifier(max_depth=3).fit(iris.data, iris.target_names[iris.target])
    return to_onnx(model, _array()[:1], target_opset=15, options={"zipmap": False})


def _network() -> Any:
    from sklearn.neural_network import MLPRegressor

    return _of_sklearn(MLPRegressor(hidden_layer_sizes=(64, 32), random_state=0, max_iter=40))


def _graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> Any:
    from onnx import checker, helper

    made = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 15)]
    )
    made.ir_version = 8  # The newest that onnxruntime 1.14 reads.
    checker.check_model(made)
    return made


def _fitted(names: Sequence[str], dtype: str) -> list[Any]:
    """The coefficients and the intercept of a regression on these columns, as constants of a graph."""
    import numpy as np
    from onnx import numpy_helper
    from sklearn.linear_model import LinearRegression

    features, target = _data()
    model = LinearRegression().fit(features[list(names)], target)
    coefficients = [numpy_helper.from_array(np.array(one, dtype), f"w{i}") for i, one in enumerate(model.coef_)]
    return [*coefficients, numpy_helper.from_array(np.array(model.intercept_, dtype), "b")]


def _columns() -> Any:
    from onnx import TensorProto, helper

    kind = TensorProto.FLOAT
    nodes = [
        helper.make_node("Mul", ["length", "w0"], ["by_length"]),
        helper.make_node("Mul", ["width", "w1"], ["by_width"]),
        helper.make_node("Add", ["by_length", "by_width"], ["sum"]),
        helper.make_node("Add", ["sum", "b"], ["species"]),
    ]
    inputs = [helper.make_tensor_value_info(name, kind, [None]) for name in ("length", "width")]
    outputs = [helper.make_tensor_value_info(name, kind, [None]) for name in ("species", "by_width")]
    return _graph(nodes, inputs, outputs, _fitted(["petal length (cm)", "petal width (cm)"], "float32"))


def _two_columns() -> Any:
    return _features()[["petal length (cm)", "petal width (cm)"]].set_axis(["length", "width"], axis=1)


def _column_inputs() -> Sequence[Any]:
    data = _two_columns()
    return [data[:3], data[7:8], data[["width", "length"]][50:60], data[:5].assign(unused=1)]


def _matrices() -> Any:
    from onnx import TensorProto, helper

    kind = TensorProto.FLOAT
    nodes = [
        helper.make_node("Concat", ["sepal", "petal"], ["all"], axis=1),
        helper.make_node("ReduceMean", ["all"], ["mean"], axes=[1], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info(name, kind, [None, 2]) for name in ("sepal", "petal")]
    outputs = [
        helper.make_tensor_value_info("all", kind, [None, 4]),
        helper.make_tensor_value_info("mean", kind, [None]),
    ]
    return _graph(nodes, inputs, outputs, [])


def _two_matrices() -> dict[str, Any]:
    data = _array()
    return {"sepal": data[:3, :2], "petal": data[:3, 2:]}


def _matrix_inputs() -> Sequence[Any]:
    data = _array()
    return [_two_matrices(), {"petal": data[:1, 2:], "sepal": data[:1, :2]}]


def _wide() -> Any:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["count"], ["counted"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["length", "w0"], ["by_length"]),
        helper.make_node("Add", ["by_length", "b"], ["species"]),
        helper.make_node("Mul", ["species", "counted"], ["total"]),
    ]
    inputs = [
        helper.make_tensor_value_info("length", TensorProto.DOUBLE, [None]),
        helper.make_tensor_value_info("count", TensorProto.INT64, [None]),
    ]
    outputs = [helper.make_tensor_value_info("total", TensorProto.DOUBLE, [None])]
    return _graph(nodes, inputs, outputs, _fitted(["petal length (cm)"], "float64"))


def _wide_given() -> Any:
    import pandas as pd

    return pd.DataFrame({"length": _features()["petal length (cm)"], "count": range(150)})


def _wide_inputs() -> Sequence[Any]:
    data = _wide_given()
    return [data[:3], data[9:10], data[["count", "length"]][100:110]]
