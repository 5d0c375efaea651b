"""What comes back over the Open Inference Protocol is what ``predict`` gives in the same process; and no body whatever
is more than refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servery_worker.flavors import Loaded
from servery_worker.oip.messages import Datatype
from servery_worker.oip.outputs import tensors_of
from servery_worker.oip.raw import read_raw, write_raw
from servery_worker.predictor import Predictor
from servery_worker.schema import Column, ColumnType, Signature, Specs, Tensor
from servery_worker.wire import Asked, MediaType, Options, Outcome

T = ColumnType
TEXTS = np.array(["a", "é", ""], object)
ITEMS = {"items": {"type": "long"}}

CASES: dict[str, tuple[Specs | None, Any, dict[str, tuple[str, Any]]]] = {
    # signature, what predict is given in the process, and the tensors that say the same: datatype and array
    **{
        kind.value: ((Column(kind, "x"),), pd.DataFrame({"x": array}), {"x": (datatype, array)})
        for kind, datatype, array in (
            (T.BOOLEAN, "BOOL", np.array([True, False, True])),
            (T.INTEGER, "INT32", np.array([-(2**31), 0, 2**31 - 1], np.int32)),
            (T.LONG, "INT64", np.array([-(2**63), 0, 2**63 - 1])),
            (T.FLOAT, "FP32", np.array([0.1, -1, 3e38], np.float32)),
            (T.DOUBLE, "FP64", np.array([0.1, -1, 1e300])),
            (T.STRING, "BYTES", TEXTS),
        )
    },
    "narrow": (
        (Column(T.DOUBLE, "x"),),
        pd.DataFrame({"x": np.array([0.1], np.float32)}),
        {"x": ("FP32", np.array([0.1], np.float32))},
    ),
    "binary": ((Column(T.BINARY, "x"),), pd.DataFrame({"x": [b"a"]}), {"x": ("BYTES", np.array([b"a"], object))}),
    "datetime": (
        (Column(T.DATETIME, "x"),),
        pd.DataFrame({"x": pd.to_datetime(["2026-01-02T03:04:05"]).as_unit("ns")}),
        {"x": ("BYTES", np.array(["2026-01-02T03:04:05"], object))},
    ),
    "array": (
        (Column(T.ARRAY, "x", detail=ITEMS),),
        pd.DataFrame({"x": [[1, 2], [3]]}),
        {"x": ("BYTES", np.array(["[1, 2]", "[3]"], object))},
    ),
    "object": (
        (Column(T.OBJECT, "x", detail={"properties": {"k": {"type": "string"}}}),),
        pd.DataFrame({"x": [{"k": "v"}]}),
        {"x": ("BYTES", np.array(['{"k": "v"}'], object))},
    ),
    "map": (
        (Column(T.MAP, "x", detail={"values": {"type": "long"}}),),
        pd.DataFrame({"x": [{"k": 1}]}),
        {"x": ("BYTES", np.array(['{"k": 1}'], object))},
    ),
    "any": ((Column(T.ANY, "x"),), pd.DataFrame({"x": [[1, "a"]]}), {"x": ("BYTES", np.array(['[1, "a"]'], object))}),
    "table": (
        (Column(T.DOUBLE, "x"), Column(T.DOUBLE, "y")),
        pd.DataFrame([[0.5, 1.0], [2.0, 3.0]], columns=["x", "y"]),
        {"rows": ("FP64", np.array([[0.5, 1], [2, 3]]))},
    ),
    "mixed": (
        (Column(T.LONG, "x"), Column(T.STRING, "y")),
        pd.DataFrame({"x": [1, 2], "y": ["a", "b"]}),
        {"y": ("BYTES", np.array(["a", "b"], object)), "x": ("INT64", np.array([1, 2]))},
    ),
    "large": (
        (Column(T.DOUBLE, "x"), Column(T.DOUBLE, "y")),
        pd.DataFrame(np.arange(20_000.0).reshape(-1, 2), columns=["x", "y"]),
        {"rows": ("FP64", np.arange(20_000.0).reshape(-1, 2))},
    ),
    "no rows": (
        (Column(T.DOUBLE, "x"), Column(T.DOUBLE, "y")),
        pd.DataFrame({"x": np.zeros(0), "y": np.zeros(0)}),
        {"rows": ("FP64", np.zeros((0, 2)))},
    ),
    "tensor": (
        (Tensor("float32", (-1, 2)),),
        np.ones((3, 2), np.float32),
        {"x": ("FP32", np.ones((3, 2), np.float32))},
    ),
    "tensors": (
        (Tensor("int64", (-1,), "x"), Tensor("str", (-1,), "y")),
        {"x": np.array([1]), "y": np.array(["a"])},
        {"x": ("INT64", np.array([1])), "y": ("BYTES", np.array(["a"], object))},
    ),
    "no signature": (None, np.ones((2, 2), np.uint8), {"x": ("UINT8", np.ones((2, 2), np.uint8))}),
    "no signature, texts": (None, np.array(["a", "bc"]), {"x": ("BYTES", np.array(["a", "bc"], object))}),
}
MODELS: dict[str, Callable[[Any], Any]] = {
    "gives what it is given": lambda data: data,
    "gives the values": lambda data: data.to_numpy() if hasattr(data, "to_numpy") else data,
    "counts": lambda data: np.array([len(data)]),
}


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_what_predict_gives_in_the_process(case: str, model: str, *, binary: bool) -> None:
    specs, data, tensors = CASES[case]
    predictor = Predictor("test", Loaded(lambda given, _: MODELS[model](given), row_wise=True), Signature(specs))
    wanted = {tensor.name: tensor for tensor in tensors_of(predictor.predict(data))}
    [(outcome, body, _, head_bytes)], _ = predictor.answer([_asked(tensors, binary=binary)])
    assert outcome is Outcome.OK, body
    head, raws = json.loads(body[: head_bytes or None]), memoryview(body)[head_bytes:]
    assert [output["name"] for output in head["outputs"]] == list(wanted)
    for output in head["outputs"]:
        tensor, data_of = wanted[output["name"]], output.get("data")
        assert (output["datatype"], tuple(output["shape"])) == (tensor.datatype.value, tensor.shape)
        if data_of is None:
            size = output["parameters"]["binary_data_size"]
            array = read_raw("x", tensor.datatype, tensor.shape, raws[:size])
            raws = raws[size:]
            assert write_raw(tensor.datatype, array) == write_raw(tensor.datatype, tensor.data)
        elif "parameters" not in output:
            assert data_of == tensor.data.ravel().tolist()


def _asked(tensors: dict[str, tuple[str, Any]], *, binary: bool) -> Asked:
    entries: list[dict[str, Any]] = []
    raws = []
    for name, (datatype, array) in tensors.items():
        entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            raws.append(write_raw(Datatype(datatype), array))
            entry["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            cells = array.ravel().tolist()
            entry["data"] = [cell.decode() if isinstance(cell, bytes) else cell for cell in cells]
        entries.append(entry)
    head = json.dumps({"inputs": entries, "parameters": {"binary_data_output": binary}}).encode()
    return Asked(MediaType.OIP, memoryview(head + b"".join(raws)), head_bytes=len(head) if binary else 0)


# Whatever comes.

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("1"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "y", ""]) | VALUES,
        "datatype": st.sampled_from([datatype.value for datatype in Datatype]) | VALUES,
        "shape": st.lists(st.integers(-1, 3) | st.integers(), max_size=3) | VALUES,
    },
    optional={
        "data": st.lists(VALUES, max_size=4) | VALUES,
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "binary_data_size": st.integers(-1, 20) | VALUES,
                "content_type": st.sampled_from(["np", "pd", "str", "base64", "datetime"]) | VALUES,
            },
        )
        | VALUES,
    },
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=3) | VALUES},
    optional={
        "id": st.text(max_size=3) | VALUES,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["predict", "x"]) | VALUES}), max_size=2)
        | VALUES,
        "parameters": st.dictionaries(st.sampled_from(["content_type", "binary_data_output", "timeout", "k"]), VALUES),
    },
)
FUZZED = {
    "columns": (Column(T.DOUBLE, "x"), Column(T.LONG, "y", required=False)),
    "others": (Column(T.STRING, "x"), Column(T.DATETIME, "y")),
    "nested": (Column(T.ARRAY, "x", detail=ITEMS), Column(T.ANY, "y")),
    "unnamed": (Column(T.BINARY), Column(T.BOOLEAN)),
    "tensor": (Tensor("float32", (-1, 2)),),
    "tensors": (Tensor("str", (-1,), "x"), Tensor("datetime64[ns]", (-1,), "y")),
    "none": None,
}


@pytest.mark.parametrize("name", FUZZED)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=REQUEST, tail=st.binary(max_size=24), raw=st.booleans())
def test_whatever_comes_is_answered_or_refused_and_never_a_fault_of_ours(
    name: str, body: Any, tail: bytes, *, raw: bool
) -> None:
    predictor = Predictor("test", Loaded(lambda data, _: np.zeros(len(data)), row_wise=True), Signature(FUZZED[name]))
    head = json.dumps(body).encode()
    whole = Asked(MediaType.OIP, memoryview(head + tail), head_bytes=len(head) if tail else 0)
    alone = Asked(MediaType.OIP, memoryview(tail), int(Options.RAW_TENSOR))
    [(outcome, text, *_)], _ = predictor.answer([alone if raw else whole])
    assert outcome in (Outcome.OK, Outcome.BAD_REQUEST, Outcome.INVALID_INPUT), text
    assert b"Error" not in text, text
