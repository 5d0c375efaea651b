"""The Open Inference Protocol over HTTP: a JSON text, and after it the raw data of those tensors that say so.

Sources: ``inference_rest.md`` of kserve/open-inference-protocol; Triton's ``extension_binary_data.md`` and
``extension_schedule_policy.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.json_text import json_writer, load_json
from servery_worker.conversions import describe
from servery_worker.enforcement import listed
from servery_worker.oip.json_data import array_of_json, json_of_array
from servery_worker.oip.messages import (
    NONE,
    Datatype,
    InferRequest,
    InferResponse,
    InferTensor,
    Parameters,
    RequestedOutput,
)
from servery_worker.oip.raw import Buffer, read_raw, write_raw
from servery_worker.wire import Asked, Options

_REQUEST = frozenset(("id", "parameters", "inputs", "outputs", "model_name", "model_version"))
"""The fields of a request; some clients repeat the model's name and version, which the path has said."""
_INPUT = frozenset(("name", "shape", "datatype", "parameters", "data"))
_OUTPUT = frozenset(("name", "parameters"))
_NOT_SUPPORTED = ("shared_memory_region", "classification")
_RAW_TENSOR = int(Options.RAW_TENSOR)
"""At hand for the hot path; a flag's own ``&`` takes longer."""
_MICROSECONDS_MAX = _PRIORITY_MAX = 2**64 - 1


def read_request(asked: Asked, inputs: Sequence[Mapping[str, Any]]) -> InferRequest:
    """The request in a body; ``inputs`` is the model's metadata, for a body that is nothing but one tensor's raw data.

    Raises:
        BadBody: it is none; one sentence names the field, what was expected and what came.
    """
    if asked.options & _RAW_TENSOR:
        return _read_tensor_alone(asked.body, inputs)
    is_cut = asked.head_bytes > 0
    head = asked.body[: asked.head_bytes] if is_cut else asked.body
    tail = memoryview(asked.body)[asked.head_bytes :] if is_cut else None
    try:
        fields = load_json(head)
    except ValueError as error:
        raise BadBody(f"The request is not JSON: {error}.") from None
    if type(fields) is not dict:
        raise BadBody(f"The request is expected to be a JSON object with 'inputs', got {describe(fields)}.")
    return _read_fields(fields, tail)


def _read_fields(fields: dict[str, Any], tail: memoryview | None) -> InferRequest:
    _check_fields("The request", fields, _REQUEST)
    id_ = fields.get("id", "")
    if type(id_) is not str:
        raise BadBody(f"'id' is expected to be a string, got {describe(id_)}.")
    parameters = _parameters("The request", fields)
    if parameters:
        check_schedule(parameters)
    tensors, position = [], 0
    for place, entry in enumerate(_objects(fields, "inputs")):
        tensor, size = _read_input(f"inputs[{place}]", entry, tail, position)
        tensors.append(tensor)
        position += size
    if tail is not None and position != len(tail):
        raise BadBody(f"The inputs take {position} bytes of binary data; {len(tail)} follow the JSON.")
    outputs: Sequence[RequestedOutput] = ()
    if "outputs" in fields:
        outputs = [_read_output(f"outputs[{place}]", entry) for place, entry in enumerate(_objects(fields, "outputs"))]
    return InferRequest(tensors, outputs, id_, parameters)


def check_schedule(parameters: Parameters) -> None:
    """Raises BadBody where ``timeout`` or ``priority`` is no such number. The gateway keeps the time."""
    for name, highest in (("timeout", _MICROSECONDS_MAX), ("priority", _PRIORITY_MAX)):
        value = parameters.get(name, 0)
        if type(value) is not int or not 0 <= value <= highest:
            raise BadBody(f"'parameters.{name}' is expected to be an integer from 0 on, got {describe(value)}.")


def _objects(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    if name not in fields:
        raise BadBody(f"'{name}' is missing; the request has {listed(list(fields))}.")
    entries = fields[name]
    if type(entries) is not list or set(map(type, entries)) - {dict}:
        raise BadBody(f"'{name}' is expected to be a list of objects, got {describe(entries)}.")
    return entries


def _check_fields(where: str, entry: dict[str, Any], known: frozenset[str]) -> None:
    if not known.issuperset(entry):
        unknown = next(name for name in entry if name not in known)
        raise BadBody(f"{where} has the unknown field {unknown!r}; known are {listed(sorted(known))}.")


def _parameters(where: str, entry: dict[str, Any]) -> Parameters:
    if "parameters" not in entry:
        return NONE
    parameters = entry["parameters"]
    if type(parameters) is not dict:
        raise BadBody(f"{where}: 'parameters' is expected to be an object, got {describe(parameters)}.")
    for name, value in parameters.items():
        if type(value) not in (str, int, float, bool):
            raise BadBody(f"{where}: 'parameters.{name}' is expected to be a string, a number or a boolean.")
        if name in _NOT_SUPPORTED:
            raise BadBody(f"{where}: 'parameters.{name}' is not supported here.")
    return parameters


def _name_of(where: str, entry: dict[str, Any]) -> str:
    name = entry.get("name")
    if type(name) is not str or not name:
        raise BadBody(f"'{where}.name' is expected to be a string, got {describe(name)}.")
    return name


def _read_input(where: str, entry: dict[str, Any], tail: memoryview | None, position: int) -> tuple[InferTensor, int]:
    """A tensor, and how many bytes of binary data it took."""
    _check_fields(where, entry, _INPUT)
    name, shape, parameters = _name_of(where, entry), entry.get("shape"), _parameters(where, entry)
    where = f"Input {name!r}"
    if type(shape) is not list or not all(type(size) is int for size in shape):
        raise BadBody(f"{where}: expected 'shape' to be a list of integers, got {describe(shape)}.")
    datatype = _datatype(where, entry.get("datatype"))
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in entry:
            raise BadBody(f"{where}: 'data' is missing, and there is no 'binary_data_size' among its parameters.")
        array = array_of_json(where, datatype, tuple(shape), entry["data"])
        return InferTensor(name, datatype, tuple(shape), array, parameters), 0
    if "data" in entry:
        raise BadBody(f"{where}: expected 'data' or 'binary_data_size', got both.")
    raw = _slice(where, size, tail, position)
    return InferTensor(name, datatype, tuple(shape), read_raw(where, datatype, tuple(shape), raw), parameters), len(raw)


def _datatype(where: str, value: Any) -> Datatype:
    try:
        return Datatype(value)
    except ValueError:
        known = ", ".join(datatype.value for datatype in Datatype)
        raise BadBody(f"{where}: expected 'datatype' to be one of {known}, got {describe(value)}.") from None


def _slice(where: str, size: Any, tail: memoryview | None, position: int) -> Buffer:
    if type(size) is not int or size < 0:
        raise BadBody(f"{where}: expected 'binary_data_size' to be a number of bytes, got {describe(size)}.")
    if tail is None:
        raise BadBody(f"{where} has a 'binary_data_size', and the header Inference-Header-Content-Length is missing.")
    if position + size > len(tail):
        left = len(tail) - position
        raise BadBody(f"{where}: expected {size} bytes of binary data, {left} are left after the inputs before it.")
    return tail[position : position + size]


def _read_output(where: str, entry: dict[str, Any]) -> RequestedOutput:
    _check_fields(where, entry, _OUTPUT)
    output = RequestedOutput(_name_of(where, entry), _parameters(where, entry))
    wanted = output.parameters.get("binary_data", False)
    if type(wanted) is not bool:
        raise BadBody(f"Output {output.name!r}: expected 'binary_data' to be a boolean, got {describe(wanted)}.")
    return output


def _read_tensor_alone(body: Buffer, inputs: Sequence[Mapping[str, Any]]) -> InferRequest:
    """The only input's raw data, without a word of JSON: its variable size follows from how much there is."""
    if len(inputs) != 1:
        raise BadBody(f"A body of raw data alone is for a model of one input; this one has {len(inputs)}.")
    [entry] = inputs
    datatype, shape = Datatype(entry["datatype"]), list(entry["shape"])
    where = f"Input {entry['name']!r}"
    if shape.count(-1) > 1:
        raise BadBody(f"{where}: raw data alone cannot tell more than one variable size, and its shape is {shape}.")
    if datatype is Datatype.BYTES:
        body, shape = len(body).to_bytes(4, "little") + bytes(body), [1 if size == -1 else size for size in shape]
    elif -1 in shape:
        row = math.prod(size for size in shape if size != -1) * _ITEM_BYTES[datatype]
        shape[shape.index(-1)] = len(body) // row if row else 0
    tensor = InferTensor(entry["name"], datatype, tuple(shape), read_raw(where, datatype, tuple(shape), body))
    return InferRequest([tensor], parameters={"binary_data_output": True})


_ITEM_BYTES = {
    datatype: 1 if datatype is Datatype.BOOL else int("".join(filter(str.isdigit, datatype.value))) // 8
    for datatype in Datatype
    if datatype is not Datatype.BYTES
}


def write_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int]:
    """The answer's body, and how many bytes its JSON has where raw data follow it, else 0.

    It begins without the model's name and version, which the gateway puts first.

    Raises:
        Unencodable: a value has no form in JSON.
    """
    if not (request.outputs or request.parameters):
        return json_writer()(_fields(response, [_json_entry(tensor) for tensor in response.outputs])), 0
    everything = request.parameters.get("binary_data_output") is True
    wanted = {output.name: output.parameters.get("binary_data", everything) for output in request.outputs}
    outputs, raws = [], []
    for tensor in response.outputs:
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype.value, "shape": tensor.shape}
        if wanted.get(tensor.name, everything):
            raw = write_raw(tensor.datatype, tensor.data)
            raws.append(raw)
            entry["parameters"] = {**tensor.parameters, "binary_data_size": len(raw)}
        else:
            entry = _json_entry(tensor)
        outputs.append(entry)
    head = json_writer()(_fields(response, outputs))
    return (head + b"".join(raws), len(head)) if raws else (head, 0)


def _fields(response: InferResponse, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": response.id, "outputs": outputs} if response.id else {"outputs": outputs}


def _json_entry(tensor: InferTensor) -> dict[str, Any]:
    data, is_base64 = json_of_array(tensor)
    entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype.value}
    entry |= {"shape": tensor.shape, "data": data}
    if is_base64:
        entry["parameters"] = {**tensor.parameters, "content_type": "base64"}
    return entry
