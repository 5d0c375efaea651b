"""The Open Inference Protocol over HTTP, from bodies to bodies: JSON, raw tensors after it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from servery_worker.flavors import Loaded
from servery_worker.oip.messages import Datatype
from servery_worker.oip.raw import write_raw
from servery_worker.predictor import Predictor
from servery_worker.schema import Column, ColumnType, Signature, Specs
from servery_worker.wire import Asked, MediaType, Options, Outcome

AB = (Column(ColumnType.DOUBLE, "a"), Column(ColumnType.DOUBLE, "b"))


class Given(NamedTuple):
    outcome: Outcome
    fields: Any
    raws: bytes = b""


def predictor_of(predict: Callable[[Any], Any], specs: Specs | None = None) -> Predictor:
    return Predictor("test", Loaded(lambda data, _params: predict(data), row_wise=True), Signature(inputs=specs))


def asked(body: Any, raws: bytes = b"", options: int = 0) -> Asked:
    head = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Asked(MediaType.OIP, memoryview(head + raws), options, head_bytes=len(head) if raws else 0)


def answers(predictor: Predictor, *requests: Asked) -> list[Given]:
    given = []
    for outcome, body, _, head_bytes in predictor.answer(requests)[0]:
        if outcome is not Outcome.OK:
            given.append(Given(outcome, body.decode()))
        else:
            given.append(
                Given(outcome, json.loads(body[: head_bytes or None]), body[head_bytes:] if head_bytes else b"")
            )
    return given


def request_of(datatype: str, shape: Sequence[float], data: Any = None, **fields: Any) -> dict[str, Any]:
    entry = {"name": "x", "datatype": datatype, "shape": list(shape)}
    return {"inputs": [entry if data is None else {**entry, "data": data}], **fields}


JSON_VALUES: dict[Datatype, list[Any]] = {
    Datatype.BOOL: [True, False, True, True],
    **{datatype: [0, 1, 2, np.iinfo(datatype.value.lower()).max] for datatype in Datatype if "INT" in datatype.value},
    Datatype.FP16: [0.5, -1.0, 65504.0, None],
    Datatype.FP32: [0.5, -1.0, 2.0**100, None],
    Datatype.FP64: [0.1, -1.0, 1e300, None],
    Datatype.BYTES: ["a", "é", "", "d"],
}


@pytest.mark.parametrize("datatype", JSON_VALUES)
@pytest.mark.parametrize("nested", [True, False])
def test_every_datatype_comes_back_over_json(datatype: Datatype, *, nested: bool) -> None:
    values = JSON_VALUES[datatype]
    data = [values[:2], values[2:]] if nested else values
    [given] = answers(predictor_of(lambda array: array), asked(request_of(datatype.value, [2, 2], data)))
    assert given.fields == {
        "outputs": [{"name": "predict", "datatype": datatype.value, "shape": [2, 2], "data": values}]
    }


@pytest.mark.parametrize("datatype", Datatype)
def test_every_datatype_comes_back_as_raw_data(datatype: Datatype) -> None:
    special: dict[Datatype, list[Any]] = {Datatype.BF16: [0.5, -2.0], Datatype.BYTES: ["é", ""]}
    values = special.get(datatype) or JSON_VALUES[datatype][:2]
    raw = write_raw(datatype, np.array(values, object if datatype is Datatype.BYTES else None))
    body = request_of(datatype.value, [2], parameters={"binary_data_output": True})
    body["inputs"][0]["parameters"] = {"binary_data_size": len(raw)}
    [given] = answers(predictor_of(lambda array: array), asked(body, raw))
    wanted = "FP32" if datatype is Datatype.BF16 else datatype.value
    size = 8 if datatype is Datatype.BF16 else len(raw)
    [entry] = given.fields["outputs"]
    assert entry == {"name": "predict", "datatype": wanted, "shape": [2], "parameters": {"binary_data_size": size}}
    assert given.raws == raw if datatype is not Datatype.BF16 else np.frombuffer(given.raws, "<f4").tolist() == values


def test_each_output_has_the_form_that_is_asked_for_it() -> None:
    outputs = [{"name": "p", "parameters": {"binary_data": True}}, {"name": "q"}]
    body = request_of("INT64", [1], [3], outputs=outputs)
    [given] = answers(predictor_of(lambda array: {"p": array, "q": array}), asked(body))
    assert [sorted(entry) for entry in given.fields["outputs"]] == [
        ["datatype", "name", "parameters", "shape"],
        ["data", "datatype", "name", "shape"],
    ]
    assert given.raws == (3).to_bytes(8, "little")


def test_bytes_that_a_model_gives_are_base64_in_json_and_say_so() -> None:
    [given] = answers(predictor_of(lambda _: [b"\xff"]), asked(request_of("INT64", [1], [3])))
    [entry] = given.fields["outputs"]
    assert (entry["data"], entry["parameters"]) == (["/w=="], {"content_type": "base64"})


def test_a_body_of_raw_data_alone_is_the_only_input_and_is_answered_with_raw_data() -> None:
    model = predictor_of(lambda frame: frame["a"].to_numpy(), (Column(ColumnType.LONG, "a"),))
    [given] = answers(model, Asked(MediaType.OIP, memoryview(b"\1" + b"\0" * 15), int(Options.RAW_TENSOR)))
    assert given.raws == b"\1" + b"\0" * 15
    assert given.fields["outputs"][0]["shape"] == [2]


def test_the_id_is_echoed_and_the_name_and_version_in_a_request_are_the_path_s() -> None:
    body = request_of("INT64", [1], [3], id="4é2", model_name="other", model_version="9")
    [given] = answers(predictor_of(lambda array: array), asked(body))
    assert (given.fields["id"], list(given.fields)) == ("4é2", ["id", "outputs"])


def test_requests_of_every_form_share_a_batch_with_each_other_and_with_mlflow_s() -> None:
    batches: list[int] = []

    def model(frame: Any) -> Any:
        batches.append(len(frame))
        return frame["a"].to_numpy()

    columns = {
        "inputs": [
            {"name": "b", "datatype": "FP64", "shape": [1], "data": [0]},
            {"name": "a", "datatype": "FP64", "shape": [1, 1], "data": [4]},
        ]
    }
    mlflow = Asked(MediaType.JSON, b'{"dataframe_split": {"columns": ["a", "b"], "data": [[5, 0]]}}')
    predictor = predictor_of(model, AB)
    narrow = request_of("FP32", [1, 2], [2.5, 0])
    given = answers(predictor, asked(request_of("FP64", [2, 2], [[1, 0], [3, 0]])), asked(narrow), mlflow)
    assert batches == [4]
    assert [given[0].fields["outputs"][0]["data"], given[1].fields["outputs"][0]["data"]] == [[1.0, 3.0], [2.5]]
    assert given[2].fields == {"predictions": [5.0]}
    assert answers(predictor, asked(columns))[0].fields["outputs"][0]["data"] == [4.0]


BROKEN: dict[str, tuple[Any, str]] = {
    "no json": (b"{", "The request is not JSON"),
    "no object": ([1], "expected to be a JSON object with 'inputs', got list [1]"),
    "nested": (b"[" * 100_000, "not JSON"),
    "no inputs": ({"id": "1"}, "'inputs' is missing; the request has 'id'"),
    "no tensor": ({"inputs": []}, "at least one tensor"),
    "inputs": ({"inputs": 3}, "'inputs' is expected to be a list of objects, got number 3"),
    "field": (request_of("INT64", [1], [1], x=1), "The request has the unknown field 'x'"),
    "input field": ({"inputs": [{"name": "x", "type": "INT64"}]}, "inputs[0] has the unknown field 'type'"),
    "id": (request_of("INT64", [1], [1], id=7), "'id' is expected to be a string, got number 7"),
    "parameters": (request_of("INT64", [1], [1], parameters=[]), "'parameters' is expected to be an object"),
    "parameter": (request_of("INT64", [1], [1], parameters={"x": {}}), "'parameters.x' is expected to be a string"),
    "timeout": (request_of("INT64", [1], [1], parameters={"timeout": "1s"}), "'parameters.timeout'"),
    "priority": (request_of("INT64", [1], [1], parameters={"priority": -1}), "'parameters.priority'"),
    "outputs": (request_of("INT64", [1], [1], outputs=["y"]), "'outputs' is expected to be a list of objects"),
    "output name": (request_of("INT64", [1], [1], outputs=[{}]), "'outputs[0].name' is expected to be a string"),
    "output": (request_of("INT64", [1], [1], outputs=[{"name": "z"}]), "Output 'z' is none of the model's, 'predict'"),
    "class": (
        request_of("INT64", [1], [1], outputs=[{"name": "predict", "parameters": {"classification": 3}}]),
        "'parameters.classification' is not supported",
    ),
    "name": ({"inputs": [{"datatype": "INT64"}]}, "'inputs[0].name' is expected to be a string, got null"),
    "shape": (request_of("INT64", [1.5], [1]), "Input 'x': expected 'shape' to be a list of integers"),
    "negative": (request_of("INT64", [-1], [1]), "expected a shape of sizes from 0 on, got [-1]"),
    "datatype": (request_of("FP8", [1], [1]), "expected 'datatype' to be one of BOOL, UINT8"),
    "no data": (request_of("INT64", [1]), "Input 'x': 'data' is missing"),
    "data": (request_of("INT64", [1], {"a": 1}), "expected 'data' to be a list, got object"),
    "few": (request_of("INT64", [3], [1, 2]), "expected 3 values for the shape [3], got 2"),
    "lists": (request_of("INT64", [2, 1], [[1]]), "expected 2 lists for the shape [2, 1], got 1"),
    "ragged": (request_of("INT64", [2, 2], [[1, 2], [3]]), "expected lists of 2 values"),
    "null list": (request_of("INT64", [2, 2], [[1, 2], None]), "expected lists of 2 values"),
    "deep": (request_of("INT64", [2], [[1], [2]]), "expected INT64, an integer, got list [1] at place 0"),
    "float": (request_of("INT64", [2], [1, 1.5]), "expected INT64, an integer, got number 1.5 at place 1"),
    "range": (request_of("INT8", [1], [128]), "expected INT8, from -128 to 127, got number 128 at place 0"),
    "beyond": (request_of("UINT64", [1], [2**64]), "expected UINT64"),
    "sign": (request_of("UINT8", [1], [-1]), "expected UINT8, from 0 to 255, got number -1"),
    "large": (request_of("FP32", [1], [1e39]), "expected FP32, got number 1e+39 at place 0"),
    "huge": (request_of("FP64", [1], [10**400]), "too large for FP64"),
    "boolean": (request_of("BOOL", [1], [2]), "expected BOOL, from 0 to 1"),
    "truth": (request_of("FP64", [1], [True]), "expected FP64, a number, got boolean True"),
    "text": (request_of("FP64", [1], ["1"]), "expected FP64, a number, got string '1' at place 0"),
    "bytes": (request_of("BYTES", [1], [1]), "expected BYTES, a string, got number 1 at place 0"),
    "bf16": (request_of("BF16", [1], [1]), "BF16 has no form in JSON"),
    "null": (request_of("INT64", [1], [None]), "expected int64, got null in row 0"),
    "nothing": (request_of("FP64", [2**40, 0], []), "too large for a tensor without elements"),
    "no binary": (
        {"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1}}]},
        "the header Inference-Header-Content-Length is missing",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_request_is_refused_in_one_sentence_and_the_next_is_answered(case: str) -> None:
    body, says = BROKEN[case]
    refused, good = answers(predictor_of(lambda array: array), asked(body), asked(request_of("INT64", [1], [1])))
    assert refused.outcome in (Outcome.BAD_REQUEST, Outcome.INVALID_INPUT)
    assert says in refused.fields
    assert good.outcome is Outcome.OK


@pytest.mark.parametrize(
    ("size", "raws", "says"),
    [
        (4, b"12345678", "The inputs take 4 bytes of binary data; 8 follow the JSON"),
        (9, b"12345678", "expected 9 bytes of binary data, 8 are left"),
        (7, b"1234567", "expected 8 bytes for FP32 of the shape [2], got 7 bytes"),
        ("8", b"12345678", "expected 'binary_data_size' to be a number of bytes"),
    ],
)
def test_binary_sizes_that_do_not_add_up_are_told(size: Any, raws: bytes, says: str) -> None:
    body = request_of("FP32" if size != 4 else "INT32", [2] if size != 4 else [1])
    body["inputs"][0]["parameters"] = {"binary_data_size": size}
    [given] = answers(predictor_of(lambda array: array), asked(body, raws))
    assert given.outcome is Outcome.BAD_REQUEST
    assert says in given.fields


def test_empty_and_large_shapes_come_back() -> None:
    model = predictor_of(lambda frame: frame.to_numpy(), AB)
    empty, large = answers(
        model, asked(request_of("FP64", [0, 2], [])), asked(request_of("FP64", [5000, 2], list(range(10_000))))
    )
    assert empty.fields["outputs"][0]["shape"] == [0, 2]
    assert large.fields["outputs"][0]["data"] == list(range(10_000))


def test_one_request_that_fails_fails_alone() -> None:
    def model(frame: Any) -> Any:
        if (frame["a"] == 9).any():
            raise ValueError("no nines")
        return frame["a"].to_numpy()

    bodies = [asked(request_of("FP64", [1, 2], [value, 0])) for value in (1, 9, 2)]
    assert [given.outcome for given in answers(predictor_of(model, AB), *bodies)] == [
        Outcome.OK,
        Outcome.MODEL_RAISED,
        Outcome.OK,
    ]
