"""What a model takes and gives, as the protocol's metadata says it: names, datatypes and shapes, -1 for any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from servery_worker.oip.messages import Datatype, InferTensor
from servery_worker.oip.outputs import DATATYPES, UNNAMED, tensors_of
from servery_worker.schema import Column, ColumnType, Signature, Specs, Tensor

UNNAMED_INPUT = "input"
_OF_COLUMN = {
    ColumnType.BOOLEAN: Datatype.BOOL,
    ColumnType.INTEGER: Datatype.INT32,
    ColumnType.LONG: Datatype.INT64,
    ColumnType.FLOAT: Datatype.FP32,
    ColumnType.DOUBLE: Datatype.FP64,
}
"""The datatype of a scalar column; text, bytes and times are BYTES, and so are nested values, as JSON text."""

Entry = dict[str, Any]


def model_metadata(signature: Signature | None, example: Any = None, answer: Any = None) -> dict[str, list[Entry]]:
    """``inputs`` and ``outputs``, of the signature; what it does not say, of the input example and the answer to it,
    as the model was given and gave them, None where there is none."""
    signature = signature or Signature()
    inputs = entries_of(signature.inputs, UNNAMED_INPUT) or _entries_shown(example, UNNAMED_INPUT)
    outputs = entries_of(signature.outputs, UNNAMED) or _entries_shown(answer, UNNAMED)
    return {"inputs": inputs, "outputs": outputs}


def entries_of(specs: Specs | None, unnamed: str) -> list[Entry]:
    """An entry a spec; columns without names are one table where they are of one type, and else go by their places."""
    if not specs:
        return []
    types = {spec.type for spec in specs if isinstance(spec, Column)}
    if len(specs) > 1 and len(types) == 1 and specs[0].name is None:
        return [_entry(unnamed, _datatype_of(specs[0]), [-1, len(specs)])]
    if len(specs) == 1 and specs[0].name is None:
        return [_entry(unnamed, _datatype_of(specs[0]), _shape_of(specs[0]))]
    return [
        _entry(str(place) if spec.name is None else spec.name, _datatype_of(spec), _shape_of(spec))
        for place, spec in enumerate(specs)
    ]


def _datatype_of(spec: Column | Tensor) -> Datatype:
    if isinstance(spec, Column):
        return _OF_COLUMN.get(spec.type, Datatype.BYTES)
    return DATATYPES.get(spec.dtype, Datatype.BYTES)


def _shape_of(spec: Column | Tensor) -> Sequence[int]:
    return list(spec.shape) if isinstance(spec, Tensor) else [-1]


def _entries_shown(value: Any, unnamed: str) -> list[Entry]:
    if value is None:
        return []
    try:
        tensors = tensors_of(value)
    except Exception:  # A value that no tensor can hold is told by no entry.
        return []
    return [_entry(unnamed if tensor.name == UNNAMED else tensor.name, *_shown(tensor)) for tensor in tensors]


def _shown(tensor: InferTensor) -> tuple[Datatype, list[int]]:
    return tensor.datatype, [-1, *tensor.shape[1:]]


def _entry(name: str, datatype: Datatype, shape: Sequence[int]) -> Entry:
    return {"name": name, "datatype": datatype.value, "shape": list(shape)}
