"""The messages that the gateway speaks, held against those of Triton's client and of gRPC's own health package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

from servery.errors import InvalidInput
from servery.serving.grpc import messages
from servery.serving.grpc.head import Head, read_head
from servery.serving.grpc.messages import HEALTH, INFERENCE, load_pool, methods_of

FOLDER = Path(messages.__file__).parent


def test_the_compiled_file_is_what_the_sources_make(tmp_path: Path) -> None:
    made = tmp_path / "compiled.binpb"
    sources = ("open_inference.proto", "grpc_health.proto")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--descriptor_set_out={made}", *sources]
    subprocess.run(command, cwd=FOLDER, check=True, timeout=60)
    assert made.read_bytes() == (FOLDER / "compiled.binpb").read_bytes()


def theirs(name: str) -> Any:
    for file in (service_pb2, model_config_pb2, health_pb2):
        if name in file.DESCRIPTOR.message_types_by_name:
            return file.DESCRIPTOR.message_types_by_name[name]
    raise AssertionError(f"none of them has {name}")


def fields_of(descriptor: Any) -> dict[str, tuple[Any, ...]]:
    return {
        field.name: (field.number, field.type, field.is_repeated, field.message_type and field.message_type.full_name)
        for field in descriptor.fields
    }


OURS = [
    descriptor
    for file in ("open_inference.proto", "grpc_health.proto")
    for descriptor in load_pool().FindFileByName(file).message_types_by_name.values()
]


@pytest.mark.parametrize("ours", OURS, ids=lambda one: str(one.name))
def test_a_message_has_the_fields_of_the_clients_by_name_number_and_type(ours: Any) -> None:
    their = theirs(ours.name)
    assert fields_of(ours).items() <= fields_of(their).items()
    for nested in ours.nested_types:
        assert fields_of(nested).items() <= fields_of(their.nested_types_by_name[nested.name]).items()


@pytest.mark.parametrize(
    ("service", "their"),
    [
        (INFERENCE, service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]),
        (HEALTH, health_pb2.DESCRIPTOR.services_by_name["Health"]),
    ],
)
def test_a_service_has_the_clients_methods(service: str, their: Any) -> None:
    for method in load_pool().FindServiceByName(service).methods:
        same = their.methods_by_name[method.name]
        assert (same.input_type.full_name, same.output_type.full_name) == (
            method.input_type.full_name,
            method.output_type.full_name,
        )


def test_a_message_is_read_and_written_by_the_names_of_its_fields() -> None:
    method = methods_of(load_pool(), INFERENCE)["ModelReady"]
    assert method.read(service_pb2.ModelReadyRequest(name="spam").SerializeToString()) == {"name": "spam"}
    assert service_pb2.ModelReadyResponse.FromString(method.write({"ready": True})).ready


def request_body(**fields: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1]}
    request: Message = service_pb2.ModelInferRequest(inputs=[tensor], raw_input_contents=[b"1234"], **fields)
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        ({"model_name": "spam"}, Head("spam", "", "", None)),
        ({"model_name": "spam", "model_version": "3", "id": "mine"}, Head("spam", "3", "mine", None)),
        ({"parameters": {"timeout": {"int64_param": 1500}}}, Head("", "", "", 0.0015)),
        ({"parameters": {"timeout": {"uint64_param": 1500}}}, Head("", "", "", 0.0015)),
        ({"parameters": {"timeout": {"int64_param": 0}, "priority": {"int64_param": 2}}}, Head("", "", "", None)),
    ],
)
def test_the_gateway_reads_where_a_request_goes_and_how_long_it_may_take(fields: dict[str, Any], head: Head) -> None:
    assert read_head(request_body(**fields)) == head


def test_the_head_may_stand_after_the_tensors() -> None:
    assert read_head(request_body() + b"\x0a\x04spam\x12\x013") == Head("spam", "3", "", None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\x0a\xff", "ModelInferRequest"),
        (b"\x0a\x01\xff", "UTF-8"),
        (request_body(parameters={"timeout": {"string_param": "soon"}}), "timeout"),
        (request_body(parameters={"timeout": {"int64_param": -1}}), "timeout"),
        (request_body(parameters={"timeout": {"bool_param": True}}), "timeout"),
        (b"\x2a\x00" * 40_000, "more than 32768 fields"),
    ],
)
def test_a_head_that_is_none_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_head(body)


def test_no_start_without_grpc_waits_for_its_library() -> None:
    probe = (
        "import sys, servery.serving.server, servery.cli.main; print(*{'grpc', 'google.protobuf'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == ""
