"""``ModelInferRequest`` and ``ModelInferResponse``, held against the messages of Triton's own client."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from servery_worker.codecs.bodies import BadBody
from servery_worker.oip.grpc_form import CONTENTS, read_request, write_response
from servery_worker.oip.messages import (
    NUMPY_NAMES,
    Datatype,
    InferRequest,
    InferResponse,
    InferTensor,
    Parameter,
    RequestedOutput,
)
from servery_worker.oip.raw import write_raw

Request = service_pb2.ModelInferRequest
Input = Request.InferInputTensor

VALUES: dict[Datatype, list[Any]] = {
    Datatype.BOOL: [True, False, True, True],
    Datatype.UINT8: [0, 1, 127, 255],
    Datatype.UINT16: [0, 1, 300, 65535],
    Datatype.UINT32: [0, 1, 1 << 31, (1 << 32) - 1],
    Datatype.UINT64: [0, 1, 1 << 63, (1 << 64) - 1],
    Datatype.INT8: [0, -1, 127, -128],
    Datatype.INT16: [0, -1, 32767, -32768],
    Datatype.INT32: [0, -1, (1 << 31) - 1, -(1 << 31)],
    Datatype.INT64: [0, -1, (1 << 63) - 1, -(1 << 63)],
    Datatype.FP16: [0.0, -1.5, 65504.0, float("inf")],
    Datatype.BF16: [0.0, -1.5, 256.0, float("inf")],
    Datatype.FP32: [0.0, -1.5, 3.4e38, float("-inf")],
    Datatype.FP64: [0.0, -1.5, 1e308, float("inf")],
    Datatype.BYTES: [b"", b"a", b"\xff\x00", "Grüße".encode()],
}
TYPED = sorted(CONTENTS)


def array_of(datatype: Datatype, shape: tuple[int, ...] = (2, 2)) -> Any:
    return np.array(VALUES[datatype], NUMPY_NAMES[datatype]).reshape(shape)


def tensor(kind: Datatype, /, **changes: Any) -> Any:
    """An input of four typed values; ``changes`` are its fields."""
    contents = CONTENTS.get(kind)
    typed = {contents.name: VALUES[kind]} if contents else {}
    fields = {"name": "x", "datatype": kind.value, "shape": [2, 2], "contents": typed, **changes}
    return Input(**{name: value for name, value in fields.items() if value is not None})


def unpacked(number: int, wire_type: int, values: list[bytes]) -> bytes:
    return b"".join(bytes([number << 3 | wire_type]) + value for value in values)


@pytest.mark.parametrize("datatype", TYPED)
def test_a_typed_tensor_is_read(datatype: Datatype) -> None:
    request, raw = read_request(Request(inputs=[tensor(datatype)]).SerializeToString())
    [read] = request.inputs
    assert not raw
    assert (read.name, read.datatype, read.shape, read.data.dtype) == ("x", datatype, (2, 2), NUMPY_NAMES[datatype])
    assert (read.data == array_of(datatype)).all()


@pytest.mark.parametrize("datatype", Datatype)
def test_a_raw_tensor_is_read(datatype: Datatype) -> None:
    data = write_raw(datatype, array_of(datatype))
    body = Request(inputs=[tensor(datatype, contents=None)], raw_input_contents=[data]).SerializeToString()
    request, raw = read_request(memoryview(body))
    [read] = request.inputs
    assert raw
    assert (read.datatype, read.shape) == (datatype, (2, 2))
    assert (read.data == array_of(datatype)).all()


def test_numbers_that_are_not_packed_are_read_as_packed_ones_are() -> None:
    packed = Input(shape=[3], datatype="INT64", contents={"int64_contents": [1, 2]}).SerializeToString()
    packed += b"\x2a\x02" + unpacked(3, 0, [b"\x03"])  # More contents: a message may come in pieces.
    assert Input.FromString(packed).contents.int64_contents == [1, 2, 3]
    body = b"\x2a" + bytes([len(packed)]) + packed
    assert read_request(body)[0].inputs[0].data.tolist() == [1, 2, 3]

    loose = b"\x12\x04FP32" + unpacked(3, 0, [b"\x01", b"\x02"])
    loose += b"\x2a\x0a" + unpacked(6, 5, [np.float32(1.5).tobytes(), np.float32(-2).tobytes()])
    assert read_request(b"\x2a" + bytes([len(loose)]) + loose)[0].inputs[0].data.tolist() == [[1.5, -2.0]]


def test_an_empty_tensor_needs_no_contents() -> None:
    request, _ = read_request(Request(inputs=[tensor(Datatype.FP32, shape=[0, 3], contents=None)]).SerializeToString())
    assert request.inputs[0].data.shape == (0, 3)


def test_a_tensor_without_a_shape_is_one_element() -> None:
    one = tensor(Datatype.FP32, shape=[], contents={"fp32_contents": [2.5]})
    assert read_request(Request(inputs=[one]).SerializeToString())[0].inputs[0].data.shape == ()


def test_id_parameters_and_wanted_outputs_are_read() -> None:
    parameters = {
        "flag": {"bool_param": False},
        "count": {"int64_param": -3},
        "text": {"string_param": "Grüße"},
        "share": {"double_param": 0.25},
        "large": {"uint64_param": 1 << 63},
        "nothing": {},
    }
    read: dict[str, Parameter] = {"flag": False, "count": -3, "text": "Grüße", "share": 0.25, "large": 1 << 63}
    body = Request(
        model_name="spam",
        id="mine",
        parameters=parameters,
        inputs=[tensor(Datatype.FP32, parameters=parameters)],
        outputs=[{"name": "y", "parameters": parameters}, {"name": "z"}],
    ).SerializeToString()
    request, _ = read_request(body)
    assert (request.id, request.parameters, request.inputs[0].parameters) == ("mine", read, read)
    assert request.outputs == [RequestedOutput("y", read), RequestedOutput("z")]


@pytest.mark.parametrize(
    ("request_fields", "says"),
    [
        pytest.param(
            {"inputs": [tensor(Datatype.INT8)], "raw_input_contents": [b"1234"]},
            "Input 'x': expected no 'contents' beside",
            id="raw and typed",
        ),
        pytest.param(
            {"inputs": [tensor(Datatype.INT8, contents=None)] * 2, "raw_input_contents": [b"1234"]},
            "expected one for each of the 2 inputs, got 1",
            id="too few raw contents",
        ),
        pytest.param({"raw_input_contents": [b"1234"]}, "each of the 0 inputs", id="raw contents of no input"),
        pytest.param({"inputs": [tensor(Datatype.FP16)]}, "expected FP16 in 'raw_input_contents'", id="FP16 typed"),
        pytest.param({"inputs": [tensor(Datatype.BF16)]}, "expected BF16 in 'raw_input_contents'", id="BF16 typed"),
        pytest.param({"inputs": [tensor(Datatype.INT8, datatype="INT4")]}, "got 'INT4'", id="an unknown datatype"),
        pytest.param({"inputs": [tensor(Datatype.INT8, datatype="")]}, "as 'datatype', got ''", id="no datatype"),
        pytest.param(
            {"inputs": [tensor(Datatype.INT8, contents={"fp32_contents": [1.0]})]},
            "expected INT8 in 'int_contents', got 'fp32_contents'",
            id="contents of another type",
        ),
        pytest.param(
            {"inputs": [tensor(Datatype.INT8, contents={"int_contents": [1, 2, 3]})]},
            "expected 4 elements in 'int_contents' for the shape [2, 2], got 3",
            id="too few elements",
        ),
        pytest.param({"inputs": [tensor(Datatype.INT8, contents=None)]}, "got 0", id="no elements"),
        pytest.param(
            {"inputs": [tensor(Datatype.INT8, contents={"int_contents": [1, 2, 3, 128]})]},
            "expected values of INT8, got 128 at place 3",
            id="a value beyond the datatype",
        ),
        pytest.param(
            {"inputs": [tensor(Datatype.UINT16, contents={"uint_contents": [1, 2, 3, 65536]})]},
            "expected values of UINT16, got 65536 at place 3",
            id="an unsigned value beyond the datatype",
        ),
        pytest.param({"inputs": [tensor(Datatype.INT8, shape=[-1, 4])]}, "[-1, 4]", id="a negative size"),
        pytest.param({"inputs": [tensor(Datatype.INT8, shape=[1 << 40] * 30)]}, "got 4", id="a shape without bounds"),
        pytest.param({"inputs": [tensor(Datatype.INT8, shape=[1] * 40)]}, "at most 32", id="a shape of many sizes"),
        pytest.param(
            {"inputs": [tensor(Datatype.FP32, contents=None)], "raw_input_contents": [b"1234"]},
            "expected 16 bytes",
            id="raw contents too short",
        ),
    ],
)
def test_a_request_that_does_not_fit_together_is_refused(request_fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadBody) as refused:
        read_request(Request(**request_fields).SerializeToString())
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [
        b"\x1a\x02\xff\xff",
        b"\x2a\x05\x0a\x0f",
        b"\x2a\x05\x2a\x03\x32\x01\x00",
        b"\x2a\x04\x2a\x02\x12\x80",
        b"no protobuf at all",
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        Request.FromString(body)
    with pytest.raises(BadBody):
        read_request(body)


def test_more_tensors_than_anybody_has_are_refused_before_they_take_room() -> None:
    with pytest.raises(BadBody, match="at most 16384 tensors"):
        read_request(b"\x2a\x00" * 17_000)
    with pytest.raises(BadBody, match="at most 16384 parameters"):
        read_request(
            Request(parameters={str(number): {"bool_param": True} for number in range(17_000)}).SerializeToString()
        )


TENSORS = st.builds(
    lambda datatype, *changes: tensor(datatype, **dict(changes)),
    st.sampled_from(TYPED),
    st.tuples(st.just("shape"), st.lists(st.integers(0, 4), max_size=3)),
    st.tuples(st.just("name"), st.text(max_size=5)),
)


@settings(max_examples=100)
@given(
    st.lists(TENSORS, max_size=3),
    st.lists(st.binary(max_size=8), max_size=3),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3),
)
def test_whatever_is_sent_is_read_as_the_library_reads_it_or_refused(
    inputs: list[Any], raw: list[bytes], changes: list[tuple[int, int]]
) -> None:
    body = bytearray(Request(model_name="m", id="mine", inputs=inputs, raw_input_contents=raw).SerializeToString())
    for place, octet in changes:
        if place < len(body):
            body[place] = octet
    try:
        request, _ = read_request(bytes(body))
    except BadBody:
        return
    try:
        theirs = Request.FromString(bytes(body))
    except DecodeError:  # A field that only the gateway reads, or nobody.
        return
    assert [one.name for one in request.inputs] == [one.name for one in theirs.inputs]
    assert [list(one.shape) for one in request.inputs] == [list(one.shape) for one in theirs.inputs]
    for ours, their in zip(request.inputs, theirs.inputs, strict=True):
        if not theirs.raw_input_contents:
            assert ours.data.ravel().tolist() == list(getattr(their.contents, CONTENTS[ours.datatype].name))


def written_as(response: InferResponse, *, is_raw: bool) -> Any:
    """What the library reads in the answer."""
    body, head_bytes = write_response(response, InferRequest([]), is_raw=is_raw)
    assert head_bytes == 0
    return service_pb2.ModelInferResponse.FromString(body)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("datatype", Datatype)
def test_an_answer_is_what_the_library_reads(datatype: Datatype, raw: bool) -> None:
    array = array_of(datatype)
    response = InferResponse(
        [InferTensor("y", datatype, (2, 2), array, {"n": 1, "share": 0.5})],
        "mine",
        {"flag": True, "text": "Grüße", "u": 1 << 63},
    )
    read = written_as(response, is_raw=raw)
    [written] = read.outputs
    assert (read.id, written.name, written.datatype, list(written.shape)) == ("mine", "y", datatype.value, [2, 2])
    assert (written.parameters["n"].int64_param, written.parameters["share"].double_param) == (1, 0.5)
    assert (read.parameters["flag"].bool_param, read.parameters["text"].string_param) == (True, "Grüße")
    assert read.parameters["u"].uint64_param == 1 << 63
    if raw or datatype not in CONTENTS:
        assert read.raw_output_contents == [write_raw(datatype, array)]
        assert not written.HasField("contents")
    else:
        assert list(getattr(written.contents, CONTENTS[datatype].name)) == array.ravel().tolist()
        assert not read.raw_output_contents


def test_an_answer_s_tensors_are_all_raw_where_one_must_be() -> None:
    tensors = [
        InferTensor(datatype.value, datatype, (2, 2), array_of(datatype)) for datatype in (Datatype.FP16, Datatype.FP32)
    ]
    read = written_as(InferResponse(tensors), is_raw=False)
    assert len(read.raw_output_contents) == 2


def test_an_answer_of_strings_and_missing_cells_is_written() -> None:
    array = np.array(["Grüße", None, b"\xff"], object)
    response = InferResponse([InferTensor("y", Datatype.BYTES, (3,), array)])
    read = written_as(response, is_raw=False)
    assert read.outputs[0].contents.bytes_contents == ["Grüße".encode(), b"", b"\xff"]
