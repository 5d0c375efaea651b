"""A model that answers in pieces, asked over gRPC by Triton's client."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

import servery
from tests.models import by_value
from tests.servers import free_port, serving, wait_until
from tests.streams import plain

Told = queue.Queue[tuple[Any, Any]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pieces")
    with by_value("tests.streams.plain"):
        servery.save_model(
            plain.Words(), folder / "words", input_example=["chunks 2"], requirements=["numpy", "pandas"]
        )
    port = free_port()
    with serving(folder / "words", folder / "home", settings={"grpc_port": port}):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as made:
        yield made


@pytest.fixture
def told(client: Any) -> Iterator[Told]:
    answers: Told = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    yield answers
    client.stop_stream()


def prompt(text: str) -> Any:
    tensor = triton.InferInput("input", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text], object))
    return tensor


def text_of(answer: tuple[Any, Any]) -> str:
    result, error = answer
    assert error is None
    return str(result.as_numpy("predict")[0].decode())


def test_each_piece_is_an_answer_of_the_stream(client: Any, told: Told) -> None:
    client.async_stream_infer("words", [prompt("chunks 3")], request_id="mine")
    answers = [told.get(timeout=30) for _ in range(3)]
    assert [text_of(answer) for answer in answers] == ["word0 ", "word1 ", "word2 "]
    response = answers[0][0].get_response()
    assert (response.id, response.model_name, response.model_version) == ("mine", "words", "1")
    assert not response.parameters["triton_final_response"].bool_param


def test_an_empty_answer_says_that_there_are_no_more_where_the_caller_wants_it(client: Any, told: Told) -> None:
    client.async_stream_infer("words", [prompt("chunks 1")], request_id="mine", enable_empty_final_response=True)
    assert text_of(told.get(timeout=30)) == "word0 "
    last = told.get(timeout=30)[0].get_response()
    assert (last.id, list(last.outputs)) == ("mine", [])
    assert last.parameters["triton_final_response"].bool_param


def test_more_pieces_than_may_be_on_their_way_all_come(client: Any, told: Told) -> None:
    client.async_stream_infer("words", [prompt("chunks 100")])
    assert [text_of(told.get(timeout=30)) for _ in range(100)] == [f"word{number} " for number in range(100)]


def test_a_model_that_fails_on_the_way_says_so_after_its_pieces_and_the_stream_goes_on(client: Any, told: Told) -> None:
    client.async_stream_infer("words", [prompt("chunks 3 fail 1")])
    client.async_stream_infer("words", [prompt("chunks 1")])
    assert text_of(told.get(timeout=30)) == "word0 "
    assert "no words for this" in str(told.get(timeout=30)[1])
    assert text_of(told.get(timeout=30)) == "word0 "


def test_a_request_that_names_no_output_of_the_model_is_told_so(client: Any, told: Told) -> None:
    client.async_stream_infer("words", [prompt("chunks 1")], outputs=[triton.InferRequestedOutput("y")])
    assert "Output 'y'" in str(told.get(timeout=30)[1])


def test_a_single_call_gets_the_whole_answer(client: Any) -> None:
    answer = client.infer("words", [prompt("chunks 2")])
    assert answer.as_numpy("predict")[0] == b"word0 word1 "
    assert client.get_model_config("words").config.model_transaction_policy.decoupled


def test_the_generator_is_closed_when_its_caller_leaves(address: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    contents = {"bytes_contents": [f"chunks 1000 pause 0.05 log {log}".encode()]}
    one = {"name": "input", "datatype": "BYTES", "shape": [1], "contents": contents}
    with grpc.insecure_channel(address) as channel:
        requests = iter([service_pb2.ModelInferRequest(model_name="words", inputs=[one])])
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(requests)
        assert next(call).infer_response.outputs[0].contents.bytes_contents == [b"word0 "]
        call.cancel()
    wait_until(lambda: "closed" in log.read_text(), "the model's generator is closed")
