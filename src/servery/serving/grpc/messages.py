"""The messages and services that are spoken, from the compiled ``open_inference.proto`` and ``grpc_health.proto``.

They are in a pool of their own: in the default one, those of a client in the same process have the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"


class Method:
    """One method of a service: how its messages are read and written, each as a dict by the names of its fields."""

    def __init__(self, request: type[Message], response: type[Message]) -> None:
        self.request_name = request.DESCRIPTOR.name
        self._request = request
        self._response = response

    def read(self, body: bytes) -> Mapping[str, Any]:
        """The fields that a request gives. Raises protobuf's DecodeError."""
        return MessageToDict(self._request.FromString(body), preserving_proto_field_name=True)

    def write(self, fields: Mapping[str, Any]) -> bytes:
        return ParseDict(dict(fields), self._response()).SerializeToString()


def load_pool() -> DescriptorPool:
    pool = DescriptorPool()
    compiled = files(__package__).joinpath("compiled.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(compiled).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def methods_of(pool: DescriptorPool, service: str) -> dict[str, Method]:
    """The methods of a service, by name."""
    return {
        method.name: Method(GetMessageClass(method.input_type), GetMessageClass(method.output_type))
        for method in pool.FindServiceByName(service).methods
    }
