"""gRPC on a gateway that follows a control plane: endpoints, their versions, a swap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

import servery
from tests.models import save_echo
from tests.servers import both_planes, free_port


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servery.Client, Any]]:
    """A client of the control plane, and a stub of the gateway beside it."""
    port = free_port()
    with (
        both_planes(tmp_path_factory.mktemp("planes") / "home", settings={"grpc_port": port}) as both,
        servery.Client(both.up.url) as client,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield client, service_pb2_grpc.GRPCInferenceServiceStub(channel)


def ask(stub: Any, nonce: int, version: str = "") -> tuple[str, list[int]]:
    """Which version answered, and what."""
    tensor = {"name": "x", "datatype": "INT64", "shape": [1, 2], "contents": {"int64_contents": [nonce, 0]}}
    answer = stub.ModelInfer(service_pb2.ModelInferRequest(model_name="spam", model_version=version, inputs=[tensor]))
    return answer.model_version, list(answer.outputs[0].contents.int64_contents)


def test_an_endpoint_is_a_model_and_a_swap_changes_its_version(
    planes: tuple[servery.Client, Any], tmp_path: Path
) -> None:
    client, stub = planes
    for version in (5, 6):
        client.register(save_echo(tmp_path / str(version), version), name="spam")
    client.deploy("spam", "models:/spam/1")
    assert ask(stub, 3) == ("1", [5, 3, 15])
    client.deploy("spam", "models:/spam/2")
    assert ask(stub, 3) == ask(stub, 3, "2") == ("2", [6, 3, 18])
    with pytest.raises(grpc.RpcError) as gone:
        ask(stub, 3, "1")
    assert "no version '1'" in str(gone.value)
    index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest()).models
    assert [(model.name, model.version) for model in index] == [("spam", "2")]
