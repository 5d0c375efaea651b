"""Arrays as binary tensors of the Open Inference Protocol, and back.

A message is a JSON head, then the tensors' bytes one after another: little-endian, row by row, an element of BYTES as
its u32 length and that many bytes. ``Inference-Header-Content-Length`` says how long the head is. Source: Triton's
``extension_binary_data.md``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

HEAD_LENGTH = "Inference-Header-Content-Length"
ONLY_INPUT = "input"
"""The name of an array that has none; a model with one input takes it under any name."""
_LENGTH = struct.Struct("<I")
_DATATYPES = {
    "bool": "BOOL",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"FP{bits}" for bits in (16, 32, 64)},
}
_DTYPES = {datatype: dtype for dtype, datatype in _DATATYPES.items()}


def arrays_in(data: Any) -> Mapping[str, Any] | None:
    """The data as named arrays, if that is what it is: one array, or a mapping of nothing but arrays, of numbers or
    booleans, with at least one dimension."""
    arrays = dict(data) if isinstance(data, Mapping) else {ONLY_INPUT: data}
    fit = bool(arrays) and all(isinstance(name, str) and _fits(array) for name, array in arrays.items())
    return arrays if fit else None


def _fits(array: Any) -> bool:
    is_array = type(array).__module__ == "numpy" and hasattr(array, "ndim")
    return is_array and array.ndim > 0 and array.dtype.name in _DATATYPES


def params_fit(params: Mapping[str, Any] | None) -> bool:
    """Whether the protocol's parameters can hold them: single values only."""
    return all(isinstance(value, bool | int | float | str) for value in (params or {}).values())


def encode_arrays(arrays: Mapping[str, Any], params: Mapping[str, Any] | None) -> tuple[bytes, int]:
    """A request's body, and how long its head is."""
    parts = [_raw(array) for array in arrays.values()]
    inputs = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": _DATATYPES[array.dtype.name],
            "parameters": {"binary_data_size": len(part)},
        }
        for (name, array), part in zip(arrays.items(), parts, strict=True)
    ]
    head = json.dumps({"parameters": {**(params or {}), "binary_data_output": True}, "inputs": inputs}).encode()
    return b"".join((head, *parts)), len(head)


def _raw(array: Any) -> bytes:
    raw: bytes = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return raw


def decode_arrays(body: bytes, head_length: int) -> Any:
    """An answer's only array, or its arrays by name.

    Raises:
        ValueError: the body is not what its head says.
    """
    head, position = json.loads(body[:head_length]), head_length
    arrays = {}
    try:
        for output in head["outputs"]:
            size = (output.get("parameters") or {}).get("binary_data_size")
            raw = None if size is None else body[position : position + size]
            position += size or 0
            arrays[output["name"]] = _array(output, raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its head lacks {error}") from None
    if not arrays or position != len(body):
        raise ValueError(f"its tensors take {position} bytes of {len(body)}")
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def _array(output: Mapping[str, Any], raw: bytes | None) -> Any:
    import numpy as np

    shape, datatype = output["shape"], output["datatype"]
    if datatype == "BYTES":
        cells = output["data"] if raw is None else _cells(raw)
        return np.array(cells).reshape(shape)
    dtype = np.dtype(_DTYPES[datatype]).newbyteorder("<")
    if raw is None:
        return np.array(output["data"], dtype).reshape(shape)
    # Copied: it is the caller's own, and may be written to.
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _cells(raw: bytes) -> list[str] | list[bytes]:
    """Text where all of them are, and else the bytes."""
    cells, position = [], 0
    while position < len(raw):
        start = position + _LENGTH.size
        if start > len(raw):
            raise ValueError("an element ends early")
        position = start + _LENGTH.unpack_from(raw, position)[0]
        cells.append(raw[start:position])
    try:
        return [cell.decode() for cell in cells]
    except UnicodeDecodeError:
        return cells
