"""What a model is given for a request of the Open Inference Protocol, and what is made of its answer."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.json_text import Unencodable
from servery_worker.oip.inputs import model_input, params_of
from servery_worker.oip.messages import Datatype, InferRequest, InferTensor, Parameters, RequestedOutput
from servery_worker.oip.metadata import model_metadata
from servery_worker.oip.outputs import response_of, tensors_of
from servery_worker.schema import Column, ColumnType, InvalidInput, Param, Signature, Tensor

T = ColumnType


def tensor(name: str, datatype: str, data: Any, parameters: Parameters | None = None) -> InferTensor:
    array = data if isinstance(data, np.ndarray) else np.array(data, object if datatype == "BYTES" else None)
    return InferTensor(name, Datatype(datatype), array.shape, array, parameters or {})


def columns(*types: ColumnType, named: bool = True, required: bool = True) -> Signature:
    return Signature(
        tuple(Column(kind, "abcdef"[place] if named else None, required) for place, kind in enumerate(types))
    )


def given(signature: Signature, *tensors: InferTensor, parameters: Parameters | None = None) -> Any:
    return model_input(InferRequest(tensors, parameters=parameters or {}), signature)


SCALARS = {
    T.BOOLEAN: (tensor("a", "BOOL", [True, False]), pd.Series([True, False])),
    T.INTEGER: (tensor("a", "INT32", np.array([1, -2], np.int32)), pd.Series([1, -2], dtype="int32")),
    T.LONG: (tensor("a", "INT64", [1, 2**60]), pd.Series([1, 2**60])),
    T.FLOAT: (tensor("a", "FP32", np.array([0.5, 2], np.float32)), pd.Series([0.5, 2], dtype="float32")),
    T.DOUBLE: (tensor("a", "FP64", [0.1, np.nan]), pd.Series([0.1, np.nan])),
    T.STRING: (tensor("a", "BYTES", [b"x", "é"]), pd.Series(["x", "é"])),
    T.BINARY: (tensor("a", "BYTES", [b"\xff", "é"]), pd.Series([b"\xff", "é".encode()])),
    T.DATETIME: (
        tensor("a", "BYTES", [b"2026-01-02T00:00:00", "2026-01-02T03:04:05"]),
        pd.Series(pd.to_datetime(["2026-01-02", "2026-01-02T03:04:05"], format="ISO8601").as_unit("ns")),
    ),
}


@pytest.mark.parametrize("kind", SCALARS)
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_tensor_of_a_column_s_type_is_that_column(kind: ColumnType, shape: tuple[int, ...]) -> None:
    sent, wanted = SCALARS[kind]
    frame = given(columns(kind), InferTensor("a", sent.datatype, shape, sent.data.reshape(shape)))
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"a": wanted}))


NESTED = {
    "array": (Column(T.ARRAY, "a", detail={"items": {"type": "long"}}), "[1, 2]", [1, 2]),
    "object": (Column(T.OBJECT, "a", detail={"properties": {"x": {"type": "string"}}}), '{"x": "y"}', {"x": "y"}),
    "map": (Column(T.MAP, "a", detail={"values": {"type": "double"}}), '{"k": 0.5}', {"k": 0.5}),
    "any": (Column(T.ANY, "a"), '["x", 1, null]', ["x", 1, None]),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_nested_column_is_json_text_in_bytes(name: str) -> None:
    column, text, value = NESTED[name]
    frame = given(Signature((column,)), tensor("a", "BYTES", [text.encode(), text]))
    assert frame["a"].tolist() == [value, value]


def test_an_array_column_takes_its_rows_as_numbers_or_texts() -> None:
    numbers = Signature((Column(T.ARRAY, "a", detail={"items": {"type": "double"}}), Column(T.LONG, "b")))
    frame = given(numbers, tensor("a", "FP64", [[1.0, 2.0]]), tensor("b", "INT64", [3]))
    assert frame.to_dict(orient="list") == {"a": [[1.0, 2.0]], "b": [3]}
    texts = Signature((Column(T.ARRAY, "a", detail={"items": {"type": "string"}}),))
    assert given(texts, tensor("a", "BYTES", [["x", b"y"]]))["a"].tolist() == [["x", "y"]]


@pytest.mark.parametrize("named", [True, False])
def test_one_tensor_of_rows_and_columns_is_a_table_whatever_its_name(*, named: bool) -> None:
    frame = given(columns(T.DOUBLE, T.DOUBLE, named=named), tensor("rows", "FP64", [[1.0, 2.0], [3.0, 4.0]]))
    pd.testing.assert_frame_equal(
        frame,
        pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["a", "b"] if named else range(2)),
        check_column_type=False,
    )


def test_a_table_of_floats_fits_columns_of_integers_where_they_are_whole() -> None:
    signature = columns(T.LONG, T.BOOLEAN, T.FLOAT)
    frame = given(signature, tensor("rows", "FP64", [[1.0, 0.0, 0.1], [2.0, 1.0, 0.5]]))
    assert [str(dtype) for dtype in frame.dtypes] == ["int64", "bool", "float32"]
    with pytest.raises(InvalidInput, match=r"Column 'a': expected int64, got number 1\.5 in row 0"):
        given(signature, tensor("rows", "FP64", [[1.5, 0.0, 0.1]]))


def test_a_null_is_a_missing_value_in_an_optional_column_and_refused_in_a_required_one() -> None:
    sent = tensor("a", "INT64", np.array([1, None], object))
    assert given(columns(T.LONG, required=False), sent)["a"].tolist() == [1, pd.NA]
    with pytest.raises(InvalidInput, match="Column 'a': expected int64, got null in row 1"):
        given(columns(T.LONG), sent)


REFUSED: dict[str, tuple[Signature, Sequence[InferTensor], str]] = {
    "unknown": (columns(T.LONG), [tensor("z", "INT64", [1])], "Input 'z'"),
    "missing": (columns(T.LONG, T.LONG), [tensor("a", "INT64", [1])], "Column 'b' is missing"),
    "rows": (columns(T.LONG, T.LONG), [tensor("a", "INT64", [1]), tensor("b", "INT64", [1, 2])], "as many rows"),
    "deep": (columns(T.LONG), [tensor("a", "INT64", [[1, 2]])], r"one value a row"),
    "scalar": (columns(T.LONG), [tensor("a", "INT64", 1)], r"expected a shape \[rows\]"),
    "text": (columns(T.DOUBLE), [tensor("a", "BYTES", ["1"])], "expected double, got BYTES"),
    "number": (columns(T.STRING), [tensor("a", "INT64", [1])], "expected string"),
    "encoding": (columns(T.STRING), [tensor("a", "BYTES", [b"\xff"])], "expected UTF-8 text"),
    "moment": (columns(T.DATETIME), [tensor("a", "BYTES", ["soon"])], "expected datetime"),
    "large": (columns(T.INTEGER), [tensor("a", "INT64", [2**31])], "expected int32, got number 2147483648"),
    "sign": (columns(T.LONG), [tensor("a", "UINT64", np.array([2**63], np.uint64))], "expected int64"),
    "float": (columns(T.FLOAT), [tensor("a", "FP64", [1e300])], "expected float32"),
    "json": (Signature((NESTED["map"][0],)), [tensor("a", "BYTES", ["{"])], "expected JSON text"),
    "places": (columns(T.LONG, T.STRING, named=False), [tensor("a", "INT64", [1])], "The model takes 2 columns"),
    "array": (Signature((Tensor("float64", (-1, 2)),)), [tensor("a", "FP64", [[1.0]])], r"expected shape \(any, 2\)"),
    "dtype": (Signature((Tensor("int32", (-1,)),)), [tensor("a", "FP64", [0.5])], "expected int32, got number 0.5"),
    "name": (Signature((Tensor("int64", (-1,), "x"),)), [tensor("a", "INT64", [1])], "Input 'a'"),
    "twice": (columns(T.LONG), [tensor("a", "INT64", [1])] * 2, "'a' is there twice"),
    "none": (columns(T.LONG), [], "at least one tensor"),
    "content": (columns(T.LONG), [tensor("a", "INT64", [1], {"content_type": "x"})], "'content_type'"),
    "base64": (columns(T.BINARY), [tensor("a", "BYTES", ["?"], {"content_type": "base64"})], "expected base64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    signature, tensors, says = REFUSED[case]
    with pytest.raises((InvalidInput, BadBody), match=says):
        given(signature, *tensors)


@pytest.mark.parametrize(
    ("spec", "sent", "wanted"),
    [
        (Tensor("float32", (-1, 2)), tensor("x", "FP64", [[0.5, 1]]), np.array([[0.5, 1]], np.float32)),
        (Tensor("uint8", (-1,)), tensor("x", "UINT8", np.array([255], np.uint8)), np.array([255], np.uint8)),
        (Tensor("str", (-1,)), tensor("x", "BYTES", [b"ab", "c"]), np.array(["ab", "c"])),
        (Tensor("bytes", (-1,)), tensor("x", "BYTES", [b"ab"]), np.array([b"ab"])),
        (Tensor("object", (-1,)), tensor("x", "BYTES", [b"ab"]), np.array(["ab"], object)),
        (Tensor("datetime64[ns]", (-1,)), tensor("x", "BYTES", ["2026-01-02"]), np.array(["2026-01-02"], "M8[ns]")),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_tensor_signature_is_given_its_dtype(spec: Tensor, sent: InferTensor, wanted: Any, *, named: bool) -> None:
    data = given(Signature((Tensor(spec.dtype, spec.shape, "x" if named else None),)), sent)
    array = data["x"] if named else data
    assert (array.dtype, array.tolist()) == (wanted.dtype, wanted.tolist())


def test_the_columns_of_an_unnamed_array_may_come_one_by_one() -> None:
    signature = Signature((Tensor("float64", (-1, 2)),))
    assert given(signature, tensor("p", "FP64", [1.0]), tensor("q", "FP64", [2.0])).tolist() == [[1.0, 2.0]]


NO_SIGNATURE: dict[str, tuple[InferTensor, Parameters, Any]] = {
    "array": (tensor("x", "FP32", np.ones((1, 2), np.float32)), {}, np.ones((1, 2), np.float32)),
    "texts": (tensor("x", "BYTES", [b"a", "bc"]), {}, np.array(["a", "bc"])),
    "bytes": (tensor("x", "BYTES", [b"\xff", "é"]), {}, np.array([b"\xff", "é".encode()], object)),
    "np": (tensor("x", "INT64", [1]), {"content_type": "np"}, np.array([1])),
    "str": (tensor("x", "BYTES", [b"a"]), {"content_type": "str"}, ["a"]),
    "own str": (tensor("x", "BYTES", [b"a"], {"content_type": "str"}), {}, ["a"]),
    "base64": (tensor("x", "BYTES", ["/w=="], {"content_type": "base64"}), {}, [b"\xff"]),
    "datetime": (
        tensor("x", "BYTES", ["2026-01-02T03:04:05Z"], {"content_type": "datetime"}),
        {},
        [datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)],
    ),
}


@pytest.mark.parametrize("case", NO_SIGNATURE)
def test_without_a_signature_the_model_is_given_the_tensor_or_what_its_content_type_says(case: str) -> None:
    sent, parameters, wanted = NO_SIGNATURE[case]
    data = given(Signature(), sent, parameters=parameters)
    assert type(data) is type(wanted)
    if isinstance(wanted, np.ndarray):
        assert (data.dtype, data.tolist()) == (wanted.dtype, wanted.tolist())
    else:
        assert data == wanted


def test_without_a_signature_several_tensors_are_a_dict_or_with_pd_a_frame() -> None:
    tensors = tensor("x", "INT64", [[1], [2]]), tensor("y", "BYTES", ["a", "b"])
    data = given(Signature(), *tensors)
    assert {name: array.tolist() for name, array in data.items()} == {"x": [[1], [2]], "y": ["a", "b"]}
    frame = given(Signature(), *tensors, parameters={"content_type": "pd"})
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"x": [1, 2], "y": ["a", "b"]}))


TYPED: dict[str, tuple[Column, Sequence[InferTensor], list[Any]]] = {
    "text": (Column(T.STRING), [tensor("x", "BYTES", [b"a", "b"])], ["a", "b"]),
    "numbers": (Column(T.DOUBLE), [tensor("x", "FP64", [0.5])], [0.5]),
    "objects": (
        Column(T.OBJECT, detail={"properties": {"k": {"type": "long"}}}),
        [tensor("x", "BYTES", ['{"k": 1}'])],
        [{"k": 1}],
    ),
    "properties": (
        Column(T.OBJECT, detail={"properties": {"k": {"type": "long"}, "t": {"type": "string"}}}),
        [tensor("k", "INT64", [1, 2]), tensor("t", "BYTES", ["a", "b"])],
        [{"k": 1, "t": "a"}, {"k": 2, "t": "b"}],
    ),
    "any": (Column(T.ANY), [tensor("x", "BYTES", ['{"k": [1]}', "null"])], [{"k": [1]}, None]),
}


@pytest.mark.parametrize("case", TYPED)
def test_a_model_with_a_type_hint_is_given_a_list_of_plain_values(case: str) -> None:
    column, tensors, wanted = TYPED[case]
    assert given(Signature((column,), is_from_type_hint=True), *tensors) == wanted


def test_params_are_the_parameters_of_their_names_and_a_list_is_json_text() -> None:
    signature = Signature(
        params=(Param("k", T.LONG, 1), Param("stop", T.STRING, ["."], (-1,)), Param("rest", T.STRING, "x"))
    )
    request = InferRequest([], parameters={"k": 3, "stop": '["a", "b"]', "priority": 0})
    assert params_of(request, signature) == {"k": 3, "stop": ["a", "b"], "rest": "x"}
    with pytest.raises(InvalidInput, match="'k'"):
        params_of(InferRequest([], parameters={"k": "3"}), signature)


ANSWERS: dict[str, tuple[Any, Mapping[str, tuple[str, list[Any]]]]] = {
    "int64": (np.array([1, 2]), {"predict": ("INT64", [1, 2])}),
    "float32": (np.array([[0.5]], np.float32), {"predict": ("FP32", [[0.5]])}),
    "float16": (np.array([0.5], np.float16), {"predict": ("FP16", [0.5])}),
    "bool": (np.array([True]), {"predict": ("BOOL", [True])}),
    "texts": (np.array(["a", "bc"]), {"predict": ("BYTES", ["a", "bc"])}),
    "times": (np.array(["2026-01-02"], "M8[ns]"), {"predict": ("BYTES", ["2026-01-02T00:00:00"])}),
    "list of texts": (["a", "b"], {"predict": ("BYTES", ["a", "b"])}),
    "list of bytes": ([b"\xff"], {"predict": ("BYTES", [b"\xff"])}),
    "list of numbers": ([1, 2.5], {"predict": ("FP64", [1.0, 2.5])}),
    "list of lists": ([[1, 2], [3, 4]], {"predict": ("INT64", [[1, 2], [3, 4]])}),
    "ragged": ([[1], [2, 3]], {"predict": ("BYTES", ["[1]", "[2,3]"])}),
    "objects": ([{"k": 1}, {"k": None}], {"predict": ("BYTES", ['{"k":1}', '{"k":null}'])}),
    "mixed": (["a", 1], {"predict": ("BYTES", ['"a"', "1"])}),
    "booleans and numbers": ([True, 2], {"predict": ("BYTES", ["true", "2"])}),
    "texts with none": (["a", None], {"predict": ("BYTES", ["a", None])}),
    "one text": ("a", {"predict": ("BYTES", ["a"])}),
    "one number": (np.float32(0.5), {"predict": ("FP32", [0.5])}),
    "large integers": ([2**70], {"predict": ("BYTES", [str(2**70)])}),
    "series": (pd.Series([1, 2], name="y"), {"y": ("INT64", [1, 2])}),
    "frame": (
        pd.DataFrame({"p": np.array([0.5], np.float32), "label": ["spam"], "n": pd.array([1], "Int64")}),
        {"p": ("FP32", [0.5]), "label": ("BYTES", ["spam"]), "n": ("INT64", [1])},
    ),
    "dict": (
        {"p": np.array([1], np.uint8), "label": ["a"], "n": 3},
        {"p": ("UINT8", [1]), "label": ("BYTES", ["a"]), "n": ("INT64", [3])},
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_keeps_its_dtypes(case: str) -> None:
    output, wanted = ANSWERS[case]
    made = {made.name: (made.datatype.value, made.data.tolist()) for made in tensors_of(output)}
    assert made == wanted


def test_missing_numbers_of_pandas_are_floats_with_nan() -> None:
    [made] = tensors_of(pd.Series(pd.array([1, None], "Int64"), name="n"))
    assert made.datatype is Datatype.FP64
    assert np.isnan(made.data[1])


def test_outputs_have_the_signature_s_names() -> None:
    assert [made.name for made in tensors_of(np.ones(2), ["y"])] == ["y"]
    assert [made.name for made in tensors_of(np.ones((2, 2)), ["p", "q"])] == ["p", "q"]


@pytest.mark.parametrize(
    ("spec", "datatype"),
    [
        (Column(T.STRING), "BYTES"),
        (Column(T.LONG), "INT64"),
        (Tensor("float32", (-1,)), "FP32"),
        (Tensor("str", (-1,)), "BYTES"),
    ],
)
def test_an_empty_list_is_of_the_signature_s_type(spec: Column | Tensor, datatype: str) -> None:
    [made] = response_of([], InferRequest([]), (spec,)).outputs
    assert (made.datatype.value, made.shape) == (datatype, (0,))


def test_a_request_gets_the_outputs_that_it_names_in_its_order() -> None:
    output = {"p": np.ones(1), "q": np.ones(1), "r": np.ones(1)}
    request = InferRequest([], outputs=[RequestedOutput("r"), RequestedOutput("p")], id="7")
    answer = response_of(output, request, None)
    assert ([made.name for made in answer.outputs], answer.id) == (["r", "p"], "7")
    with pytest.raises(InvalidInput, match="Output 'z' is none of the model's, 'p', 'q', 'r'"):
        response_of(output, InferRequest([], outputs=[RequestedOutput("z")]), None)


@pytest.mark.parametrize("output", [np.ones(1, complex), np.array([1], "m8[s]"), object()])
def test_what_no_tensor_can_hold_is_told(output: Any) -> None:
    with pytest.raises(Unencodable):
        tensors_of(output)


def test_metadata_is_the_signature_s() -> None:
    signature = Signature(
        (Column(T.LONG, "a"), Column(T.STRING, "b")), (Tensor("float32", (-1, 3), "p"), Tensor("int64", (-1,), "y"))
    )
    assert model_metadata(signature) == {
        "inputs": [
            {"name": "a", "datatype": "INT64", "shape": [-1]},
            {"name": "b", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "p", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "y", "datatype": "INT64", "shape": [-1]},
        ],
    }


def test_metadata_that_the_signature_lacks_is_the_example_s() -> None:
    told = model_metadata(None, np.ones((2, 3)), ["spam", "ham"])
    assert told == {
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 3]}],
        "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}],
    }
    assert model_metadata(None) == {"inputs": [], "outputs": []}
