"""In which form data travels: the fastest that the server takes, and JSON where it takes no other."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import servery
from servery.errors import ModelFailed, NotFound, RemoteError, RequestRefused
from tests.faulty import Asked, Faulty, Turn, answer, faulty

FRAME = pd.DataFrame({"x": [1.5, 2.5]})
ARROW, TENSORS, JSON = "application/vnd.apache.arrow.stream", "application/octet-stream", "application/json"
NONE_SUCH = answer(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "There is nothing at this path."})


def old_server() -> Turn:
    """It takes JSON alone, and knows neither Arrow nor the Open Inference Protocol."""

    async def turn(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if not asked.path.endswith("/invocations"):
            await NONE_SUCH(asked, writer)
        elif asked.headers["content-type"] != JSON:
            await answer(415, {"message": "This endpoint takes JSON."})(asked, writer)
        else:
            await answer(200, {"predictions": json.loads(asked.body)})(asked, writer)

    return turn


def types(server: Faulty) -> list[str]:
    return [asked.headers.get("content-type", asked.method) for asked in server.asked]


def test_an_older_server_is_sent_json_and_asked_no_more_than_once_for_anything_else() -> None:
    split = {"dataframe_split": {"columns": ["x"], "data": [[1.5], [2.5]]}}
    with faulty(old_server()) as server, servery.Client(gateway=server.url) as client:
        assert [client.predict("soup", FRAME) for _ in range(3)] == [split] * 3
        assert client.predict("soup", pa.table({"x": [1.5, 2.5]})) == split
        assert types(server) == [ARROW, JSON, JSON, JSON, JSON]
        server.asked.clear()
        assert [client.predict("soup", np.array([1, 2])) for _ in range(3)] == [{"inputs": [1, 2]}] * 3
        assert types(server) == [TENSORS, JSON, JSON, JSON]


def test_what_one_endpoint_does_not_take_another_may() -> None:
    with faulty(old_server()) as server, servery.Client(gateway=server.url) as client:
        client.predict("soup", FRAME)
        client.predict("salad", FRAME)
    assert types(server) == [ARROW, JSON, ARROW, JSON]


def test_an_endpoint_that_was_not_there_is_asked_anew_once_it_is() -> None:
    missing = answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Not yet."})
    turn = infer(output("y", "FP64", [1], 8), raw=np.array([7.0], "<f8").tobytes())
    with faulty(missing, missing, turn) as server, servery.Client(gateway=server.url) as client:
        with pytest.raises(NotFound):
            client.predict("soup", np.array([1.0]))
        assert client.predict("soup", np.array([1.0])).tolist() == [7.0]


def test_the_only_endpoint_of_an_older_server_has_no_name_for_its_tensors() -> None:
    with faulty(old_server()) as server, servery.Client(gateway=server.url) as client:
        assert client.predict(None, np.array([1, 2])) == {"inputs": [1, 2]}
    assert [asked.path for asked in server.asked] == ["/v2/repository/index", "/invocations"]


def test_the_only_endpoint_of_a_gateway_is_named_by_its_index() -> None:
    index = answer(200, [{"name": "soup", "version": "3", "state": "READY", "reason": ""}])
    raw = np.array([7.0], "<f8").tobytes()
    turn = infer(output("y", "FP64", [1], 8), raw=raw)
    with faulty(index, turn) as server, servery.Client(gateway=server.url) as client:
        assert [client.predict(None, np.array([1.0])).tolist() for _ in range(2)] == [[7.0], [7.0]]
    paths = [asked.path for asked in server.asked]
    assert paths == ["/v2/repository/index", "/v2/models/soup/infer", "/v2/models/soup/infer"]


def test_an_answer_that_has_no_form_as_arrow_is_asked_for_as_json_this_time() -> None:
    unencodable = answer(500, {"message": "No column of one type."}, X_Servery_Fault="answer")
    with faulty(unencodable, answer(), unencodable) as server, servery.Client(gateway=server.url) as client:
        assert client.predict("soup", FRAME) == [1]
        with pytest.raises(ModelFailed, match="No column"):
            client.predict("soup", FRAME)
    assert types(server) == [ARROW, JSON, ARROW, JSON]


def test_a_refusal_of_the_data_itself_is_not_asked_again_in_json() -> None:
    refusal = answer(400, {"message": "Column 'y' is missing."})
    with (
        faulty(refusal) as server,
        servery.Client(gateway=server.url) as client,
        pytest.raises(RequestRefused, match="Column 'y'"),
    ):
        client.predict("soup", FRAME)
    assert types(server) == [ARROW]


def test_params_travel_as_json_beside_the_table_and_only_the_answer_is_arrow() -> None:
    with faulty(answer()) as server, servery.Client(gateway=server.url) as client:
        client.predict("soup", FRAME, {"salt": 2})
    [asked] = server.asked
    assert (asked.headers["content-type"], asked.headers["accept"]) == (JSON, f"{ARROW}, {JSON};q=0.5")
    assert json.loads(asked.body)["params"] == {"salt": 2}


def infer(*outputs: dict[str, Any], raw: bytes) -> Turn:
    head = json.dumps({"model_name": "soup", "outputs": outputs}).encode()
    headers = {"Content_Type": TENSORS, "Inference_Header_Content_Length": str(len(head))}
    return answer(200, head + raw, **headers)


def output(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_an_array_travels_as_its_own_bytes_and_so_does_the_answer() -> None:
    raw = np.array([[1.5], [2.5]], "<f4").tobytes()
    turn = infer(output("y", "FP32", [2, 1], 8), raw=raw)
    with faulty(turn) as server, servery.Client(gateway=server.url) as client:
        got = client.predict("soup", np.array([[1, 2], [3, 4]], ">i2"), {"salt": 2})
    np.testing.assert_array_equal(got, np.array([[1.5], [2.5]], "float32"), strict=True)
    got[0] = 0  # It is the caller's own.
    [asked] = server.asked
    length = int(asked.headers["inference-header-content-length"])
    head, sent = json.loads(asked.body[:length]), asked.body[length:]
    assert asked.path == "/v2/models/soup/infer"
    assert head["parameters"] == {"salt": 2, "binary_data_output": True}
    assert [(one["datatype"], one["shape"]) for one in head["inputs"]] == [("INT16", [2, 2])]
    assert sent == np.array([[1, 2], [3, 4]], "<i2").tobytes()


def test_several_outputs_are_arrays_by_their_names_and_text_is_text() -> None:
    raw = b"\x03\0\0\0ham" + b"\x04\0\0\0spam" + b"\1"
    outputs = [output("label", "BYTES", [2], 15), output("sure", "BOOL", [1], 1)]
    with faulty(infer(*outputs, raw=raw)) as server, servery.Client(gateway=server.url) as client:
        got = client.predict("soup", {"x": np.array([1.0])})
    assert (got["label"].tolist(), got["sure"].tolist()) == (["ham", "spam"], [True])


@pytest.mark.parametrize("raw", [b"", b"1234567", b"123456789"])
def test_an_answer_whose_sizes_do_not_add_up_is_no_answer(raw: bytes) -> None:
    turn = infer(output("y", "FP32", [2], 8), raw=raw)
    with (
        faulty(turn) as server,
        servery.Client(gateway=server.url) as client,
        pytest.raises(RemoteError, match="cannot be read"),
    ):
        client.predict("soup", np.array([1.0]))


@pytest.mark.parametrize("data", [[1, 2], 3, np.array(["a"]), {"a": [1]}, pd.Series([1]), np.float64(2.0)])
def test_everything_else_is_json(data: Any) -> None:
    with faulty(answer()) as server, servery.Client(gateway=server.url) as client:
        client.predict("soup", data)
    assert types(server) == [JSON]
