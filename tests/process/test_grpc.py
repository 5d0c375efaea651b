"""The Open Inference Protocol over gRPC, as stock clients speak it: Triton's, the protocol's own, and gRPC's tools."""

from __future__ import annotations

import asyncio
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

import servery
from tests.models import NORMAL, RAISE, SLEEP
from tests.servers import Server, free_port, servery_process, serving, wait_until

BODY_BYTES_MAX = 1 << 20
SETTINGS: Mapping[str, object] = {
    "body_bytes_max": BODY_BYTES_MAX,
    "queue_requests_max": 4,
    "request_timeout_seconds": 20,
}
SERVICE = "inference.GRPCInferenceService"
SERVING, NOT_SERVING = (health_pb2.HealthCheckResponse.ServingStatus.Value(name) for name in ("SERVING", "NOT_SERVING"))


@pytest.fixture(scope="module")
def ports(echo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, int]]:
    port = free_port()
    with serving(
        echo_folder, tmp_path_factory.mktemp("grpc") / "home", settings={**SETTINGS, "grpc_port": port}
    ) as one:
        yield one, port


@pytest.fixture(scope="module")
def address(ports: tuple[Server, int]) -> str:
    return f"127.0.0.1:{ports[1]}"


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as made:
        yield made


@pytest.fixture
def channel(address: str) -> Iterator[Any]:
    with grpc.insecure_channel(address) as made:
        yield made


def rows(*nonces: int, action: int = NORMAL) -> Any:
    return np.array([[nonce, action] for nonce in nonces], np.int64)


def tensor(array: Any, datatype: str = "INT64", name: str = "input", module: Any = triton) -> Any:
    made = module.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def typed_request(nonce: int, **changes: Any) -> Any:
    contents = {"int64_contents": [nonce, NORMAL]}
    one = {"name": "input", "datatype": "INT64", "shape": [1, 2], "contents": contents}
    return service_pb2.ModelInferRequest(**{"model_name": "echo", "inputs": [one], **changes})


def metric(server: Server, name: str) -> float:
    """Of the one version that it serves."""
    [line] = [line for line in httpx.get(f"{server.url}/metrics").text.splitlines() if line.startswith(f"{name}{{")]
    return float(line.split()[-1])


def texts_of(metadata: Any) -> dict[str, Any]:
    return dict(metadata)


# Triton's client.


def test_triton_s_client_is_told_of_the_server_and_the_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("echo")
    assert client.is_model_ready("echo", "1")
    assert client.get_server_metadata().name == "servery"
    metadata = client.get_model_metadata("echo", as_json=True)
    assert (metadata["name"], metadata["versions"]) == ("echo", ["1"])
    assert metadata["inputs"] == [{"name": "input", "datatype": "INT64", "shape": ["-1", "2"]}]
    assert metadata["outputs"] == [{"name": "predict", "datatype": "INT64", "shape": ["-1", "3"]}]
    config = client.get_model_config("echo").config
    assert (config.name, config.backend, list(config.input[0].dims)) == ("echo", "servery", [2])


def test_triton_s_client_infers_with_raw_tensors(client: Any) -> None:
    result = client.infer("echo", [tensor(rows(1, 2))], request_id="mine", model_version="1")
    answer = result.get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("echo", "1", "mine")
    assert result.as_numpy("predict").tolist() == [[7, 1, 7], [7, 2, 14]]
    assert len(answer.raw_output_contents) == 1


def test_triton_s_asyncio_client_infers_beside_itself(address: str) -> None:
    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(address) as client:
            calls = [client.infer("echo", [tensor(rows(nonce), module=triton_aio)]) for nonce in range(4)]
            return [result.as_numpy("predict").tolist() for result in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [[[7, nonce, 7 * nonce]] for nonce in range(4)]


def test_triton_s_client_reads_statistics_that_count_what_was_asked(client: Any) -> None:
    def counts() -> tuple[int, int]:
        [record] = client.get_inference_statistics("echo", "1").model_stats
        return record.inference_count, record.inference_stats.fail.count

    answered, failed = counts()
    client.infer("echo", [tensor(rows(1))])
    with pytest.raises(InferenceServerException):
        client.infer("echo", [tensor(rows(1, action=RAISE))])
    assert counts() == (answered + 1, failed + 1)
    assert [record.name for record in client.get_inference_statistics().model_stats] == ["echo"]


def test_triton_s_client_reads_the_repository_and_cannot_change_it(client: Any) -> None:
    [entry] = client.get_model_repository_index().models
    assert (entry.name, entry.version, entry.state) == ("echo", "1", "READY")
    client.load_model("echo")
    with pytest.raises(InferenceServerException, match="control plane") as refused:
        client.unload_model("echo")
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


# Streams.


@pytest.fixture
def answers(client: Any) -> Iterator[queue.Queue[tuple[Any, Any]]]:
    told: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: told.put((result, error)))
    yield told
    client.stop_stream()


def test_a_stream_answers_every_request_in_their_order(client: Any, answers: queue.Queue[tuple[Any, Any]]) -> None:
    for nonce in range(50):
        client.async_stream_infer("echo", [tensor(rows(nonce))], request_id=str(nonce))
        result, error = answers.get(timeout=10)
        assert error is None
        assert (result.get_response().id, result.as_numpy("predict").tolist()) == (str(nonce), [[7, nonce, 7 * nonce]])


def test_a_request_that_fails_says_so_in_its_place_and_the_stream_goes_on(
    client: Any, answers: queue.Queue[tuple[Any, Any]]
) -> None:
    client.async_stream_infer("ham", [tensor(rows(1))], request_id="unknown")
    client.async_stream_infer("echo", [tensor(rows(1, action=RAISE))], request_id="raises")
    client.async_stream_infer("echo", [tensor(rows(3))], request_id="good")
    told = [answers.get(timeout=10) for _ in range(3)]
    assert "Model 'ham' not found" in str(told[0][1])
    assert "not for me" in str(told[1][1])
    assert told[2][0].as_numpy("predict").tolist() == [[7, 3, 21]]
    assert told[2][0].get_response().parameters["triton_final_response"].bool_param


def test_a_stream_that_its_caller_closes_ends_well(channel: Any) -> None:
    stub = channel.stream_stream(
        f"/{SERVICE}/ModelStreamInfer",
        lambda one: one.SerializeToString(),
        service_pb2.ModelStreamInferResponse.FromString,
    )
    call = stub(iter([typed_request(1, id="a"), typed_request(2, id="b")]), timeout=10)
    assert [answer.infer_response.id for answer in call] == ["a", "b"]
    assert call.code() is grpc.StatusCode.OK


def test_a_stream_reads_what_is_more_than_it_may_have_under_way(channel: Any) -> None:
    stub = channel.stream_stream(
        f"/{SERVICE}/ModelStreamInfer",
        lambda one: one.SerializeToString(),
        service_pb2.ModelStreamInferResponse.FromString,
    )
    call = stub((typed_request(nonce, id=str(nonce)) for nonce in range(600)), timeout=60)
    assert [answer.infer_response.id for answer in call] == list(map(str, range(600)))


# Typed contents.


def test_the_protocol_s_own_client_is_answered(address: str) -> None:
    """In a process of its own: its messages have the names of Triton's."""
    script = f"""
import grpc
from open_inference.grpc import protocol, service
stub = service.GRPCInferenceServiceStub(grpc.insecure_channel("{address}"))
print(stub.ServerReady(protocol.ServerReadyRequest()).ready)
print(stub.ModelReady(protocol.ModelReadyRequest(name="echo")).ready)
print(stub.ModelMetadata(protocol.ModelMetadataRequest(name="echo")).inputs[0].datatype)
tensor = dict(name="x", datatype="INT64", shape=[1, 2], contents=dict(int64_contents=[5, 0]))
answer = stub.ModelInfer(protocol.ModelInferRequest(model_name="echo", inputs=[tensor]))
print(*answer.outputs[0].contents.int64_contents)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout.split(), ran.stderr) == (["True", "True", "INT64", "7", "5", "35"], "")


def test_typed_contents_are_answered_in_typed_contents(channel: Any) -> None:
    answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(typed_request(2, id="mine"))
    [output] = answer.outputs
    assert (answer.model_name, answer.model_version, answer.id) == ("echo", "1", "mine")
    assert (output.name, output.datatype, list(output.shape)) == ("predict", "INT64", [1, 3])
    assert list(output.contents.int64_contents) == [7, 2, 14]
    assert not answer.raw_output_contents


def test_an_answer_carries_request_id_and_version(channel: Any) -> None:
    infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
    _, call = infer.with_call(typed_request(1), metadata=[("x-request-id", "mine-1")])
    assert texts_of(call.trailing_metadata()) == {"x-request-id": "mine-1", "x-model-version": "echo/1"}


# Datatypes.

VALUES: dict[str, tuple[str, list[Any]]] = {
    "BOOL": ("bool_contents", [True, False]),
    **{f"INT{bits}": ("int_contents", [-(1 << bits - 1), (1 << bits - 1) - 1]) for bits in (8, 16, 32)},
    "INT64": ("int64_contents", [-(1 << 63), (1 << 63) - 1]),
    **{f"UINT{bits}": ("uint_contents", [0, (1 << bits) - 1]) for bits in (8, 16, 32)},
    "UINT64": ("uint64_contents", [0, (1 << 64) - 1]),
    "FP16": ("", [-1.5, 65504.0]),
    "BF16": ("", [-1.5, 256.0]),
    "FP32": ("fp32_contents", [-1.5, 3.4028234663852886e38]),
    "FP64": ("fp64_contents", [-1.5, 1e308]),
    "BYTES": ("bytes_contents", ["Grüße".encode(), b""]),
}
"""By datatype: where its typed contents stand, and two values."""


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A channel to a model that gives what it gets, and has no signature."""

    def predict(data: Any) -> Any:
        return data

    folder = tmp_path_factory.mktemp("mirror")
    servery.save_model(predict, folder / "mirror", requirements=["numpy"])
    port = free_port()
    with (
        serving(folder / "mirror", folder / "home", settings={"grpc_port": port}),
        grpc.insecure_channel(f"127.0.0.1:{port}") as made,
    ):
        yield made


@pytest.mark.parametrize("datatype", [name for name, (contents, _) in VALUES.items() if contents])
def test_typed_values_reach_the_model_and_come_back(mirror: Any, datatype: str) -> None:
    name, values = VALUES[datatype]
    one = {"name": "x", "datatype": datatype, "shape": [1, 2], "contents": {name: values}}
    answer = service_pb2_grpc.GRPCInferenceServiceStub(mirror).ModelInfer(
        service_pb2.ModelInferRequest(model_name="mirror", inputs=[one])
    )
    [output] = answer.outputs
    assert (output.datatype, list(output.shape), list(getattr(output.contents, name))) == (datatype, [1, 2], values)


@pytest.mark.parametrize("datatype", VALUES)
def test_raw_values_reach_the_model_and_come_back(mirror: Any, datatype: str) -> None:
    raw = b"".join(len(value).to_bytes(4, "little") + value for value in VALUES["BYTES"][1])
    if datatype != "BYTES":
        dtype = {"BF16": "float32", "BOOL": "bool"}.get(datatype, datatype.lower().replace("fp", "float"))
        array = np.array(VALUES[datatype][1], dtype)
        # BF16 is the upper half of a float32; these values have nothing in the lower one.
        raw = (array.view(np.uint32) >> 16).astype(np.uint16).tobytes() if datatype == "BF16" else array.tobytes()
    one = {"name": "x", "datatype": datatype, "shape": [1, 2]}
    answer = service_pb2_grpc.GRPCInferenceServiceStub(mirror).ModelInfer(
        service_pb2.ModelInferRequest(model_name="mirror", inputs=[one], raw_input_contents=[raw])
    )
    if datatype == "BF16":  # The model was given float32, and gives it.
        datatype, raw = "FP32", array.tobytes()
    assert (answer.outputs[0].datatype, list(answer.raw_output_contents)) == (datatype, [raw])


# Errors.


def failure_of(caught: pytest.ExceptionInfo[grpc.RpcError]) -> Any:
    """The error, which is a call as well."""
    return caught.value


def refused(channel: Any, request: Any, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, **options)
    return caught.value


@pytest.mark.parametrize(
    ("request_message", "code", "says"),
    [
        (typed_request(1, model_name="ham"), "NOT_FOUND", "Model 'ham' not found."),
        (typed_request(1, model_version="9"), "NOT_FOUND", "no version '9'"),
        (typed_request(1, model_name=""), "INVALID_ARGUMENT", "model_name"),
        (typed_request(1, inputs=[]), "INVALID_ARGUMENT", "at least one tensor"),
        (
            typed_request(1, raw_input_contents=[b"x" * 16]),
            "INVALID_ARGUMENT",
            "beside the request's 'raw_input_contents'",
        ),
        (typed_request(1, outputs=[{"name": "y"}]), "INVALID_ARGUMENT", "Output 'y' is none of the model's"),
        (typed_request(1, parameters={"timeout": {"string_param": "soon"}}), "INVALID_ARGUMENT", "timeout"),
    ],
    ids=["model", "version", "no model", "no inputs", "raw and typed", "output", "timeout"],
)
def test_a_wrong_request_gets_a_code_and_one_clear_sentence(
    channel: Any, request_message: Any, code: str, says: str
) -> None:
    error = refused(channel, request_message)
    assert error.code().name == code
    assert says in error.details()
    assert "\n" not in error.details()


@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "ModelMetadata", "ModelStatistics"])
def test_bytes_that_are_no_message_are_refused(channel: Any, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/{method}")(b"\x0a\xff", timeout=10)
    assert failure_of(caught).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Request" in failure_of(caught).details()


def test_a_method_that_is_none_is_unimplemented(channel: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/TraceSetting")(b"", timeout=10)
    assert failure_of(caught).code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_beyond_the_limit_is_refused_and_the_connection_goes_on(channel: Any) -> None:
    error = refused(channel, typed_request(1, raw_input_contents=[b"x" * (BODY_BYTES_MAX + 1)]))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive(service_pb2.ServerLiveRequest()).live


@pytest.mark.parametrize(
    "within",
    [{"timeout": 0.3}, {"parameters": {"timeout": {"int64_param": 300_000}}}],
    ids=["the call's deadline", "the request's timeout"],
)
def test_a_request_that_takes_too_long_is_ended_by_its_deadline(channel: Any, within: dict[str, Any]) -> None:
    request = typed_request(1, parameters=within.pop("parameters", {}))
    request.inputs[0].contents.int64_contents[1] = SLEEP
    assert refused(channel, request, **within).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_full_queue_is_unavailable_and_says_when_to_try_again(channel: Any) -> None:
    infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
    slow = typed_request(1)
    slow.inputs[0].contents.int64_contents[1] = SLEEP
    calls = [infer.future(slow) for _ in range(12)]
    errors = [error for call in calls if (error := call.exception()) is not None]
    assert errors
    assert {error.code() for error in errors} == {grpc.StatusCode.UNAVAILABLE}
    assert {texts_of(error.trailing_metadata())["grpc-retry-pushback-ms"] for error in errors} == {"1000"}


def test_a_call_that_is_cancelled_leaves_its_place(ports: tuple[Server, int], channel: Any) -> None:
    infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
    slow = typed_request(1)
    slow.inputs[0].contents.int64_contents[1] = SLEEP
    before = metric(ports[0], "servery_batch_requests_total")
    calls = [infer.future(slow) for _ in range(4)]
    wait_until(lambda: metric(ports[0], "servery_requests_waiting") > 0, "some wait for the first")
    for call in calls:
        call.cancel()
    assert list(infer(typed_request(5)).outputs[0].contents.int64_contents) == [7, 5, 35]
    assert metric(ports[0], "servery_batch_requests_total") - before < len([*calls, 5])


# gRPC's own tools.


def test_a_client_that_knows_nothing_finds_services_and_messages_by_reflection(channel: Any) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) >= {SERVICE, "grpc.health.v1.Health"}
    pool = DescriptorPool(database)
    methods = [method.name for method in pool.FindServiceByName(SERVICE).methods]
    assert {"ModelInfer", "ModelStreamInfer", "ModelStatistics"} <= set(methods)
    fields = pool.FindMessageTypeByName("inference.ModelInferRequest").fields_by_name
    assert fields["raw_input_contents"].number == 7
    assert [method.name for method in pool.FindServiceByName("grpc.health.v1.Health").methods] == ["Check", "Watch"]


@pytest.mark.parametrize("name", ["", SERVICE])
def test_the_gateway_s_health_is_checked(channel: Any, name: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING


def test_the_health_of_what_is_unknown_is_not_found(channel: Any) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="ham"))
    assert failure_of(caught).code() is grpc.StatusCode.NOT_FOUND
    told = stub.Watch(health_pb2.HealthCheckRequest(service="ham"))
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(next(told).status) == "SERVICE_UNKNOWN"
    told.cancel()


# The process.


def test_a_drain_tells_watchers_answers_what_is_under_way_and_ends_streams(echo_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(echo_folder, tmp_path / "home", settings={"grpc_port": port}) as server:
        channel: Any = grpc.insecure_channel(f"127.0.0.1:{port}")
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        idle_stream = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(_until(threading.Event()))
        slow = typed_request(3)
        slow.inputs[0].contents.int64_contents[1] = SLEEP
        under_way = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(slow)
        wait_until(lambda: metric(server, "servery_workers_busy") > 0, "the model is asked")
        server.process.send_signal(signal.SIGTERM)
        assert [change.status for change in watch] == [NOT_SERVING]
        assert list(under_way.result().outputs[0].contents.int64_contents) == [7, 3, 21]
        with pytest.raises(grpc.RpcError) as ended:
            next(idle_stream)
        assert failure_of(ended).code() is grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(timeout=30) == 0
        channel.close()


def _until(event: threading.Event) -> Iterator[bytes]:
    event.wait(60)
    yield from ()


def test_a_port_in_use_is_refused_with_the_flag_that_chooses_another(
    ports: tuple[Server, int], echo_folder: Path, tmp_path: Path
) -> None:
    port = free_port()
    arguments = (
        "serve",
        str(echo_folder),
        "-p",
        str(port),
        "--grpc-port",
        str(ports[1]),
        "--home",
        str(tmp_path / "home"),
    )
    with servery_process(*arguments, port=port, log=tmp_path / "log") as server:
        assert server.process.wait(timeout=60) == 1
    assert "--grpc-port" in (tmp_path / "log").read_text()
