"""What is said in the Open Inference Protocol, whatever form it has on the wire.

Source: kserve/open-inference-protocol, ``inference_rest.md`` and ``inference_grpc.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple, Union

Parameter = Union[bool, int, float, str]
Parameters = Mapping[str, Parameter]
NONE: Parameters = MappingProxyType({})
"""No parameters."""


class Datatype(str, Enum):
    """The protocol's element types."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    """In raw form only; a model is given it as float32, which holds each of its values."""
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


NUMPY_NAMES = {
    Datatype.BOOL: "bool",
    **{datatype: datatype.value.lower() for datatype in Datatype if "INT" in datatype.value},
    Datatype.FP16: "float16",
    Datatype.BF16: "float32",
    Datatype.FP32: "float32",
    Datatype.FP64: "float64",
    Datatype.BYTES: "object",
}
"""The numpy dtype that a tensor's ``data`` has, by its datatype. The cells of BYTES are ``bytes``, or ``str`` where
they are text already, or None for a null. Integers or booleans that came with nulls are an array of objects."""


class InferTensor(NamedTuple):
    """One tensor. ``data`` is a numpy array of ``shape`` in C order, with the dtype that NUMPY_NAMES says."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: Any
    parameters: Parameters = NONE


class RequestedOutput(NamedTuple):
    name: str
    parameters: Parameters = NONE


class InferRequest(NamedTuple):
    """A request. ``outputs`` empty: all are wanted."""

    inputs: Sequence[InferTensor]
    outputs: Sequence[RequestedOutput] = ()
    id: str = ""
    parameters: Parameters = NONE


class InferResponse(NamedTuple):
    """An answer. The model's name and version are put before it by the gateway, which alone knows them."""

    outputs: Sequence[InferTensor]
    id: str = ""
    parameters: Parameters = NONE
