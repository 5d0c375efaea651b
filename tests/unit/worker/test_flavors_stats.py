"""ONNX graphs and the results of statsmodels: what their loaders accept, and what they refuse with the file's name.

That they answer as stock mlflow does is the matrix's matter (``tests/flavors``).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from onnx import TensorProto, helper, numpy_helper
from statsmodels.tsa.ar_model import AutoReg

from servery.errors import InvalidInput
from servery.package import save_model
from servery.package.flavors import onnx as onnx_flavor
from servery.package.flavors import statsmodels as statsmodels_flavor
from servery.package.reader import load_folder
from servery_worker.flavors.onnx import session_of
from servery_worker.predictor import LoadError, load

X = pd.DataFrame({"const": 1.0, "x": np.arange(20.0)})
Y = 2 + 3 * X["x"] + np.sin(X["x"])
WEIGHTS = np.arange(600, dtype="float32").reshape(2, 300)


def graph(inputs: int = 1, op: str = "Identity") -> Any:
    """It gives its inputs, and the first one by 300 weights that are too many to lie in the graph's own file."""
    names = [f"in{number}" for number in range(inputs)]
    nodes = [helper.make_node(op, [name], [f"out{number}"]) for number, name in enumerate(names)]
    nodes.append(helper.make_node("MatMul", ["in0", "weights"], ["wide"]))
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in names]
    answers = [helper.make_tensor_value_info(f"out{n}", TensorProto.FLOAT, [None, 2]) for n in range(inputs)]
    answers.append(helper.make_tensor_value_info("wide", TensorProto.FLOAT, [None, 300]))
    weights = [numpy_helper.from_array(WEIGHTS, "weights")]
    made = helper.make_graph(nodes, "graph", given, answers, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def entries(loader: str, **own: Any) -> dict[str, Any]:
    return {"flavors": {"python_function": {"loader_module": f"mlflow.{loader}", "data": f"model.{loader}"}, **own}}


@pytest.fixture
def graph_folder(tmp_path: Path) -> Path:
    onnx.save_model(graph(), tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    return tmp_path


@pytest.mark.parametrize(
    ("providers", "chosen"),
    [
        (None, ["CPUExecutionProvider"]),
        ([], ["CPUExecutionProvider"]),
        ("CPUExecutionProvider", ["CPUExecutionProvider"]),
        (["NoSuchProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]),
        ([["CPUExecutionProvider", {"use_arena": "0"}]], ["CPUExecutionProvider"]),
        ([[], None, 3], ["CPUExecutionProvider"]),
    ],
    ids=["none named", "an empty list", "a text", "one that is not here", "a name with options", "no names"],
)
def test_the_providers_that_are_here_are_used_and_the_processor_where_none_is(
    providers: Any, chosen: list[str], graph_folder: Path
) -> None:
    assert (
        session_of(str(graph_folder / "model.onnx"), "model.onnx", {"providers": providers}).get_providers() == chosen
    )


def test_the_options_of_the_session_are_those_of_the_package(graph_folder: Path) -> None:
    given = {
        "execution_mode": "parallel",
        "extra_session_config": {"session.disable_prepacking": "1"},
        "graph_optimization_level": 1,
        "inter_op_num_threads": 2,
        "intra_op_num_threads": 3,
    }
    session = session_of(str(graph_folder / "model.onnx"), "model.onnx", {"onnx_session_options": given})
    options = session.get_session_options()
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert options.get_session_config_entry("session.disable_prepacking") == "1"
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert (options.inter_op_num_threads, options.intra_op_num_threads) == (2, 3)


def truncate(folder: Path) -> None:
    file = folder / "model.onnx"
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "options", "sentence"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), {}, "The package has no file 'model.onnx', where"),
        (lambda folder: (folder / "weights").unlink(), {}, r"The model in 'model.onnx' does not load: .*weights"),
        (truncate, {}, "The model in 'model.onnx' does not load: "),
        (lambda folder: (folder / "model.onnx").write_bytes(b"junk"), {}, "The model in 'model.onnx' does not load: "),
        (
            lambda _folder: None,
            {"extra_session_config": {"session.disable_prepacking": 1}},
            "The model in 'model.onnx' does not load: ",
        ),
        (lambda _folder: None, {"intra_op_num_threads": "many"}, "The model in 'model.onnx' does not load: "),
    ],
    ids=[
        "no graph",
        "no weights",
        "half a graph",
        "no protobuf",
        "a setting that is no text",
        "threads that are no number",
    ],
)
def test_a_graph_that_does_not_load_is_refused_by_its_files_name(
    damage: Callable[[Path], Any], options: dict[str, Any], sentence: str, graph_folder: Path
) -> None:
    damage(graph_folder)
    with pytest.raises(LoadError, match=sentence) as caught:
        load(str(graph_folder), entries("onnx", onnx={"onnx_session_options": options}))
    assert str(graph_folder) not in str(caught.value)


def test_a_package_without_an_entry_of_the_flavor_is_loaded(graph_folder: Path) -> None:
    answer = load(str(graph_folder), entries("onnx")).predict(np.array([[1.0, 2.0]]))
    assert answer["out0"].tolist() == [[1.0, 2.0]]
    assert answer["wide"].tolist() == (np.array([[1.0, 2.0]], "float32") @ WEIGHTS).tolist()


@pytest.mark.parametrize(
    ("inputs", "data", "sentence"),
    [
        (1, pd.DataFrame({"a": [1.0], "b": [2.0]}), r"no table, their sizes differ \(out0: 2, wide: 300\)"),
        (1, [[1.0, 2.0]], "expected to be a table, an array or a dict of arrays"),
        (2, np.ones((1, 2)), r"takes the inputs \['in0', 'in1'\], but one array came"),
        (2, pd.DataFrame({"in0": [1.0]}), r"no columns \['in1'\]; the model takes \['in0', 'in1'\]"),
    ],
    ids=["outputs of many sizes", "a list", "one array for two inputs", "a column is missing"],
)
def test_an_input_that_makes_no_tensors_is_refused_by_a_sentence(
    inputs: int, data: Any, sentence: str, tmp_path: Path
) -> None:
    onnx.save_model(graph(inputs), tmp_path / "model.onnx")
    with pytest.raises((TypeError, ValueError), match=sentence):
        load(str(tmp_path), entries("onnx")).predict(data)


def test_saving_leaves_the_graph_as_it_was_and_writes_its_weights_beside_it(tmp_path: Path) -> None:
    model = graph()
    before = model.SerializeToString()
    saved = onnx_flavor.save(model, tmp_path)
    assert model.SerializeToString() == before
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert saved.predict(np.ones((1, 2)), None)["wide"].shape == (1, 300)


def test_a_graph_that_onnxruntime_does_not_run_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"expected a graph that onnxruntime runs, .*NoSuchOperator"):
        onnx_flavor.save(graph(op="NoSuchOperator"), tmp_path)


def pickled(model: Any, folder: Path) -> Any:
    (folder / "model.statsmodels").write_bytes(pickle.dumps(model))
    return load(str(folder), entries("statsmodels"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "The package has no file 'model.statsmodels', where"),
        (pickle.dumps(Y)[:50], "The model in 'model.statsmodels' does not load: "),
        (pickle.dumps({"a": 1}), "The model in 'model.statsmodels' is a dict; expected the results of statsmodels"),
        (pickle.dumps(sm.OLS(Y, X)), "The model in 'model.statsmodels' is a OLS; expected the results of statsmodels"),
    ],
    ids=["missing", "truncated", "another object", "a model that was not fitted"],
)
def test_a_file_without_results_is_refused_by_its_name(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.statsmodels").write_bytes(content)
    with pytest.raises(LoadError, match=sentence):
        load(str(tmp_path), entries("statsmodels"))


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (pd.DataFrame({"start": [1, 2], "end": [3, 4]}), r"2 rows with the columns \['start', 'end'\]"),
        (pd.DataFrame({"start": [1], "stop": [3]}), r"1 rows with the columns \['start', 'stop'\]"),
        (np.ones((1, 2)), r"1 rows with the columns \[\]"),
    ],
    ids=["two rows", "no end", "an array"],
)
def test_a_time_series_is_asked_by_one_row_with_start_and_end(data: Any, got: str, tmp_path: Path) -> None:
    predictor = pickled(AutoReg(Y, lags=1).fit(), tmp_path)
    with pytest.raises(ValueError, match=f"one row with columns start and end, not by {got}"):
        predictor.predict(data)
    assert len(predictor.predict(pd.DataFrame({"start": [20], "end": [22]}))) == 3


@pytest.mark.parametrize(
    ("name", "fit", "batchable"),
    [
        ("a linear model", lambda: sm.OLS(Y, X).fit(), True),
        ("a generalized linear model", lambda: sm.GLM(Y, X).fit(), True),
        ("a formula, which may look at a whole column", lambda: smf.ols("y ~ x", X.assign(y=Y)).fit(), False),
        ("a time series", lambda: AutoReg(Y, lags=1).fit(), False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_are_predicted_together_where_a_model_is_linear(
    name: str, fit: Callable[[], Any], batchable: bool, tmp_path: Path
) -> None:
    assert pickled(fit(), tmp_path).batchable is batchable


def test_results_are_saved_and_models_that_were_not_fitted_are_not() -> None:
    assert statsmodels_flavor.takes(sm.OLS(Y, X).fit())
    assert statsmodels_flavor.takes(AutoReg(Y, lags=1).fit())
    assert not statsmodels_flavor.takes(sm.OLS(Y, X))


def test_what_is_saved_of_a_formula_answers_with_its_functions(tmp_path: Path) -> None:
    results = smf.ols("y ~ np.log(x + 1) + center(x)", X.assign(y=Y)).fit()
    save_model(results, tmp_path / "model", input_example=X[["x"]][:3], requirements=["statsmodels"])
    assert load_folder(tmp_path / "model").predict(X[["x"]]).tolist() == results.predict(X).tolist()
