"""The Open Inference Protocol over gRPC: a ``ModelInferRequest`` read, a ``ModelInferResponse`` written.

Source: kserve/open-inference-protocol, ``open_inference_grpc.proto``, whose field numbers these are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from servery_worker.codecs.bodies import BadBody
from servery_worker.oip.messages import (
    NUMPY_NAMES,
    Datatype,
    InferRequest,
    InferResponse,
    InferTensor,
    Parameter,
    RequestedOutput,
)
from servery_worker.oip.protobuf import (
    Malformed,
    WireType,
    bytes_field,
    bytes_head,
    double_field,
    fields,
    number_field,
    packed_varints,
    signed,
    text,
    text_field,
    unsigned,
    varint_bytes,
    varints,
)
from servery_worker.oip.raw import cell_bytes, count_of, object_array, read_raw, write_raw
from servery_worker.oip.rest import check_schedule

TENSORS_MAX = 1 << 14
"""How many inputs, outputs or parameters one message may have."""

_BYTES, _VARINT = int(WireType.BYTES), int(WireType.VARINT)
_FIXED32, _FIXED64 = int(WireType.FIXED32), int(WireType.FIXED64)


class Contents(NamedTuple):
    """The field of an ``InferTensorContents`` that holds a datatype's elements."""

    number: int
    name: str
    element: int
    """The wire type of one that is not packed."""


_BOOL = Contents(1, "bool_contents", _VARINT)
_INT = Contents(2, "int_contents", _VARINT)
_INT64 = Contents(3, "int64_contents", _VARINT)
_UINT = Contents(4, "uint_contents", _VARINT)
_UINT64 = Contents(5, "uint64_contents", _VARINT)
_FP32 = Contents(6, "fp32_contents", _FIXED32)
_FP64 = Contents(7, "fp64_contents", _FIXED64)
_STRINGS = Contents(8, "bytes_contents", _BYTES)
_BY_NUMBER = {one.number: one for one in (_BOOL, _INT, _INT64, _UINT, _UINT64, _FP32, _FP64, _STRINGS)}
CONTENTS = {
    Datatype.BOOL: _BOOL,
    **dict.fromkeys((Datatype.INT8, Datatype.INT16, Datatype.INT32), _INT),
    Datatype.INT64: _INT64,
    **dict.fromkeys((Datatype.UINT8, Datatype.UINT16, Datatype.UINT32), _UINT),
    Datatype.UINT64: _UINT64,
    Datatype.FP32: _FP32,
    Datatype.FP64: _FP64,
    Datatype.BYTES: _STRINGS,
}
"""By datatype; FP16 and BF16 have none, they are raw always."""


class _Tensor:
    """An input as it is read: fields may come in any order, and a message in several pieces."""

    def __init__(self) -> None:
        self.name = ""
        self.datatype = ""
        self.shape = bytearray()
        self.parameters: dict[str, Parameter] = {}
        self.has_contents = False
        self.packed: dict[int, bytearray] = {}
        self.strings: list[bytes] = []


def read_request(body: bytes | memoryview) -> tuple[InferRequest, bool]:
    """The request, and whether its tensors are raw: so are its answer's.

    Raises:
        BadBody: it is no such message, or what it says does not fit together.
    """
    try:
        return _read_request(memoryview(body))
    except Malformed as error:
        raise BadBody(f"The request is no valid ModelInferRequest: {error}.") from None


def _read_request(body: memoryview) -> tuple[InferRequest, bool]:
    id_ = ""
    parameters: dict[str, Parameter] = {}
    tensors: list[_Tensor] = []
    outputs: list[RequestedOutput] = []
    raw: list[memoryview] = []
    for number, wire_type, value in fields(body):
        if wire_type != _BYTES:
            continue
        if number == 3:
            id_ = text(value)
        elif number == 4:
            _add_parameter(parameters, value)
        elif number == 5:
            tensors.append(_read_tensor(value))
        elif number == 6:
            outputs.append(_read_output(value))
        elif number == 7:
            raw.append(value)
        if max(len(tensors), len(outputs), len(raw)) > TENSORS_MAX:
            raise BadBody(f"The request: expected at most {TENSORS_MAX} tensors.")
    if raw and len(raw) != len(tensors):
        raise BadBody(f"'raw_input_contents': expected one for each of the {len(tensors)} inputs, got {len(raw)}.")
    inputs = (
        [_raw_input(one, data) for one, data in zip(tensors, raw)] if raw else [_typed_input(one) for one in tensors]
    )
    check_schedule(parameters)
    return InferRequest(inputs, outputs, id_, parameters), bool(raw)


def _read_tensor(message: memoryview) -> _Tensor:
    tensor = _Tensor()
    for number, wire_type, value in fields(message):
        if number == 3 and wire_type in (_BYTES, _VARINT):
            tensor.shape += value
        elif wire_type != _BYTES:
            continue
        elif number == 1:
            tensor.name = text(value)
        elif number == 2:
            tensor.datatype = text(value)
        elif number == 4:
            _add_parameter(tensor.parameters, value)
        elif number == 5:
            tensor.has_contents = True
            _read_contents(tensor, value)
    return tensor


def _read_contents(tensor: _Tensor, message: memoryview) -> None:
    for number, wire_type, value in fields(message):
        contents = _BY_NUMBER.get(number)
        if contents is _STRINGS and wire_type == _BYTES:
            tensor.strings.append(bytes(value))
        elif contents is not None and contents is not _STRINGS and wire_type in (_BYTES, contents.element):
            size = {_FIXED32: 4, _FIXED64: 8}.get(contents.element)
            if size is not None and len(value) % size:
                raise Malformed(f"'{contents.name}' that end early")
            tensor.packed.setdefault(number, bytearray()).extend(value)


def _read_output(message: memoryview) -> RequestedOutput:
    name, parameters = "", dict[str, Parameter]()
    for number, wire_type, value in fields(message):
        if wire_type == _BYTES and number == 1:
            name = text(value)
        elif wire_type == _BYTES and number == 2:
            _add_parameter(parameters, value)
    return RequestedOutput(name, parameters)


def _add_parameter(parameters: dict[str, Parameter], entry: memoryview) -> None:
    """One that says no value is left out."""
    name, value = named_parameter(entry)
    if value is not None:
        parameters[name] = value
    if len(parameters) > TENSORS_MAX:
        raise BadBody(f"The request: expected at most {TENSORS_MAX} parameters.")


def named_parameter(entry: memoryview) -> tuple[str, Parameter | None]:
    """An entry of a map of parameters; the value is None where it says none."""
    name, chosen = "", None
    for number, wire_type, value in fields(entry):
        if wire_type == _BYTES and number == 1:
            name = text(value)
        elif wire_type == _BYTES and number == 2:
            chosen = _parameter_of(value, chosen)
    return name, chosen


def _parameter_of(message: memoryview, chosen: Parameter | None) -> Parameter | None:
    """The value of an ``InferParameter``: the last that it says, ``chosen`` where it says none."""
    for number, wire_type, value in fields(message):
        if wire_type == _VARINT and number == 1:
            chosen = unsigned(value) != 0
        elif wire_type == _VARINT and number == 2:
            chosen = signed(value)
        elif wire_type == _BYTES and number == 3:
            chosen = text(value)
        elif wire_type == _FIXED64 and number == 4:
            (chosen,) = struct.unpack("<d", value)
        elif wire_type == _VARINT and number == 5:
            chosen = unsigned(value)
    return chosen


def _form_of(tensor: _Tensor) -> tuple[str, Datatype, tuple[int, ...]]:
    """How the tensor is called in messages, its datatype and its shape."""
    import numpy as np

    where = f"Input {tensor.name!r}"
    try:
        datatype = Datatype(tensor.datatype)
    except ValueError:
        known = ", ".join(datatype.value for datatype in Datatype)
        raise BadBody(f"{where}: expected one of {known} as 'datatype', got {tensor.datatype[:50]!r}.") from None
    return where, datatype, tuple(varints(tensor.shape).view(np.int64).tolist())


def _raw_input(tensor: _Tensor, data: memoryview) -> InferTensor:
    where, datatype, shape = _form_of(tensor)
    if tensor.has_contents:
        raise BadBody(f"{where}: expected no 'contents' beside the request's 'raw_input_contents'.")
    array = read_raw(where, datatype, shape, data)
    return InferTensor(tensor.name, datatype, shape, array, tensor.parameters)


def _typed_input(tensor: _Tensor) -> InferTensor:
    where, datatype, shape = _form_of(tensor)
    count = count_of(where, shape)
    contents = CONTENTS.get(datatype)
    if contents is None:
        raise BadBody(f"{where}: expected {datatype.value} in 'raw_input_contents', the only form that it has.")
    filled = {number for number, packed in tensor.packed.items() if packed} | ({8} if tensor.strings else set())
    if filled - {contents.number}:
        other = _BY_NUMBER[min(filled - {contents.number})].name
        raise BadBody(f"{where}: expected {datatype.value} in '{contents.name}', got '{other}'.")
    array = _elements(where, tensor, contents, datatype)
    if len(array) != count:
        raise BadBody(
            f"{where}: expected {count} elements in '{contents.name}' for the shape {list(shape)}, got {len(array)}."
        )
    return InferTensor(tensor.name, datatype, shape, array.reshape(shape), tensor.parameters)


def _elements(where: str, tensor: _Tensor, contents: Contents, datatype: Datatype) -> Any:
    import numpy as np

    dtype = NUMPY_NAMES[datatype]
    if contents is _STRINGS:
        return object_array(tensor.strings)
    packed = tensor.packed.get(contents.number, b"")
    if contents.element != _VARINT:
        return np.frombuffer(packed, np.dtype(dtype).newbyteorder("<")).astype(dtype)
    numbers = varints(packed)
    if contents is _BOOL:
        return numbers != 0
    if contents in (_INT, _UINT):  # Of a longer number the lower 32 bits count, as everywhere in protobuf.
        numbers = numbers.astype(np.uint32)
    if contents in (_INT, _INT64):
        numbers = numbers.view(f"int{8 * numbers.itemsize}")
    array = numbers.astype(dtype)
    wrong = np.flatnonzero(array != numbers)
    if len(wrong):
        raise BadBody(f"{where}: expected values of {datatype.value}, got {numbers[wrong[0]]} at place {wrong[0]}.")
    return array


def write_response(response: InferResponse, request: InferRequest, *, is_raw: bool) -> tuple[bytes, int]:  # noqa: ARG001
    """A ``ModelInferResponse`` without the model's name and version, which the gateway puts before it; and no head.

    Its tensors are raw where the request's were, else typed; but raw all of them where one has no other form.
    """
    is_raw = is_raw or any(tensor.datatype not in CONTENTS for tensor in response.outputs)
    parts: list[bytes | memoryview] = [text_field(3, response.id)]
    parts += _parameters(4, response.parameters.items())
    data: list[bytes | memoryview] = []
    for tensor in response.outputs:
        message = [text_field(1, tensor.name), text_field(2, tensor.datatype.value)]
        if tensor.shape:
            message.append(bytes_field(3, b"".join(map(varint_bytes, tensor.shape))))
        message += _parameters(4, tensor.parameters.items())
        if is_raw:
            data.append(write_raw(tensor.datatype, tensor.data))
        else:
            message.append(bytes_field(5, b"".join(_contents(tensor))))
        parts.append(bytes_field(5, b"".join(message)))
    for one in data:
        parts += (bytes_head(6, len(one)), one)
    return b"".join(parts), 0


def _contents(tensor: InferTensor) -> Iterator[bytes]:
    number, _, element = CONTENTS[tensor.datatype]
    if element == _BYTES:
        for cell in tensor.data.ravel().tolist():
            yield bytes_field(number, cell_bytes(cell))
    elif element == _VARINT:
        yield bytes_field(number, packed_varints(tensor.data))
    else:
        yield bytes_field(number, write_raw(tensor.datatype, tensor.data))


def _parameters(number: int, parameters: Iterable[tuple[str, Parameter]]) -> list[bytes]:
    return [bytes_field(number, text_field(1, name) + bytes_field(2, _parameter(value))) for name, value in parameters]


def _parameter(value: Parameter) -> bytes:
    if isinstance(value, bool):
        return number_field(1, value)
    if isinstance(value, int):
        return number_field(2 if -(1 << 63) <= value < 1 << 63 else 5, value)
    if isinstance(value, float):
        return double_field(4, value)
    return bytes_field(3, value.encode())
