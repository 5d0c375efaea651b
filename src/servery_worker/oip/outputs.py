"""From what a model returned to the tensors of its answer.

An array is one tensor, a frame one a column, a dict one a key; each keeps its dtype. Text is BYTES, and so are objects
and whatever numpy has no plain type for, as one JSON text each.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from servery_worker.codecs.json_text import Unencodable, array_items, dump_json
from servery_worker.conversions import is_missing
from servery_worker.enforcement import listed
from servery_worker.kinds import is_frame, is_series
from servery_worker.oip.messages import NUMPY_NAMES, Datatype, InferRequest, InferResponse, InferTensor
from servery_worker.oip.raw import object_array
from servery_worker.schema import NUMPY_NAMES as COLUMN_DTYPES
from servery_worker.schema import Column, InvalidInput, Specs, Tensor

_BY_SIZE = {
    ("b", 1): Datatype.BOOL,
    **{("i", size): Datatype(f"INT{8 * size}") for size in (1, 2, 4, 8)},
    **{("u", size): Datatype(f"UINT{8 * size}") for size in (1, 2, 4, 8)},
    **{("f", size): Datatype(f"FP{8 * size}") for size in (2, 4, 8)},
}
"""The datatype by numpy's letter for the kind and an element's bytes: an array's dtype is slow to tell its name."""
UNNAMED = "predict"
"""The output of a model whose signature gives it no name."""

DATATYPES = {
    name: datatype for datatype, name in NUMPY_NAMES.items() if datatype not in (Datatype.BYTES, Datatype.BF16)
}
"""The datatype of a numpy dtype that has one, by its name."""


def response_of(output: Any, request: InferRequest, specs: Specs | None) -> InferResponse:
    """The answer to a request: the outputs that it wants, in its order, or all of them.

    Raises:
        InvalidInput: it wants one that the model does not give.
        Unencodable: something in the output has no form in any tensor.
    """
    if specs and len(specs) == 1 and isinstance(output, list) and not output:
        output = _empty_of(specs[0])
    tensors = tensors_of(output, [spec.name for spec in specs or ()])
    if request.outputs:
        by_name = {tensor.name: tensor for tensor in tensors}
        for wanted in request.outputs:
            if wanted.name not in by_name:
                raise InvalidInput(f"Output {wanted.name!r} is none of the model's, {listed(list(by_name))}.")
        tensors = [by_name[wanted.name] for wanted in request.outputs]
    return InferResponse(tensors, request.id)


def _empty_of(spec: Column | Tensor) -> Any:
    """An empty list as an array: of what, the signature alone can tell."""
    import numpy as np

    dtype = np.dtype(COLUMN_DTYPES.get(spec.type, "object") if isinstance(spec, Column) else spec.dtype)
    return np.array([], dtype if dtype.kind in "biuf" else object)


def tensors_of(output: Any, names: Sequence[str | None] = ()) -> list[InferTensor]:
    """A model's output as tensors; ``names`` are its signature's, None where an output has none."""
    given = [name for name in names if name is not None]
    if is_plain_array(output) and len(given) < 2:
        return [_tensor(given[0] if given else UNNAMED, output if output.ndim else output.reshape(1))]
    if is_frame(output):
        labels = output.columns.tolist()
        texts = [str(label) for label in labels]
        if len(set(texts)) != len(texts):
            raise Unencodable(f"the frame's columns have names that are the same: {listed(labels)}")
        return [_tensor(text, array_of_values(output.iloc[:, place])) for place, text in enumerate(texts)]
    if isinstance(output, Mapping) and output and all(isinstance(key, str) for key in output):
        return [_tensor(str(key), array_of_values(value)) for key, value in output.items()]
    array = array_of_values(output)
    if len(given) > 1 and array.ndim == 2 and array.shape[1] == len(given):
        return [_tensor(name, array[:, place]) for place, name in enumerate(given)]
    return [_tensor(given[0] if len(given) == 1 else _own_name(output), array)]


def is_plain_array(value: Any) -> bool:
    """Is it numpy's, of numbers or booleans?"""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and value.dtype.kind in "biuf"


def _own_name(output: Any) -> str:
    return output.name if is_series(output) and isinstance(output.name, str) else UNNAMED


def _tensor(name: str, array: Any) -> InferTensor:
    dtype = array.dtype
    datatype = _BY_SIZE.get((dtype.kind, dtype.itemsize))
    if datatype is None and dtype.kind == "f":  # More than 64 bits.
        datatype, array = Datatype.FP64, array.astype("float64")
    return InferTensor(name, datatype or Datatype.BYTES, array.shape, array)


def array_of_values(value: Any) -> Any:
    """An array of at least one dimension: of numbers or booleans, or of objects that are text, bytes or None.

    Raises:
        Unencodable: a value has no form in JSON either.
    """
    import numpy as np

    if is_series(value):
        value = _series_array(value)
    if not isinstance(value, np.ndarray):
        value = _list_array(value if isinstance(value, (list, tuple)) else [value])
    if value.ndim == 0:
        value = value.reshape(1)
    kind = value.dtype.kind
    if kind in "biuf":
        return value
    if kind not in "MUSO":
        raise Unencodable(f"an array of {value.dtype} has no form in a tensor")
    cells = array_items(value.ravel()) if kind == "M" else value.ravel().tolist()
    numbers = _numbers(cells) if kind == "O" else None
    made = object_array(_cells(cells)) if numbers is None else numbers
    return made.reshape(value.shape)


def _series_array(series: Any) -> Any:
    """A column as numpy has it; pandas' own numbers and booleans are floats where one is missing."""
    import numpy as np

    dtype = series.dtype
    plain = getattr(dtype, "numpy_dtype", None)
    if plain is None or plain.kind not in "biuf":
        return series.to_numpy()
    return series.to_numpy(dtype="float64", na_value=np.nan) if series.hasnans else series.to_numpy(dtype=plain)


def _list_array(values: Sequence[Any]) -> Any:
    """What numpy makes of a list, where that changes nothing; else an array of the values themselves."""
    import numpy as np

    try:
        array = np.array(values)
        if array.dtype.kind in "bM" or (array.dtype.kind in "iuf" and not _has_boolean(values)):
            return array
        return np.array(values, dtype=object)
    except ValueError:  # Lists of different lengths.
        return object_array(list(values))


def _has_boolean(values: Sequence[Any]) -> bool:
    return any(_has_boolean(value) if isinstance(value, (list, tuple)) else type(value) is bool for value in values)


def _numbers(cells: list[Any]) -> Any:
    """Objects that are all booleans, or all numbers with some missing, as an array of such; None for any others."""
    import numpy as np

    booleans = [isinstance(cell, (bool, np.bool_)) for cell in cells]
    if cells and all(booleans):
        return np.array(cells, bool)
    present = [cell for cell in cells if not is_missing(cell)]
    if not present or any(booleans) or not all(isinstance(cell, (int, float, np.number)) for cell in present):
        return None
    array = np.array([np.nan if is_missing(cell) else cell for cell in cells])
    return array if array.dtype.kind in "iuf" else None


def _cells(cells: Sequence[Any]) -> list[Any]:
    """Text, bytes or None for each of some objects: themselves, ISO 8601 for times, or a JSON text of each."""
    plain = [_plain_cell(cell) for cell in cells]
    if all(cell is None or isinstance(cell, (str, bytes)) for cell in plain):
        return plain
    return [dump_json(cell).decode() for cell in cells]


def _plain_cell(cell: Any) -> Any:
    if is_missing(cell):
        return None
    if isinstance(cell, (datetime.datetime, datetime.date, datetime.time)):
        return cell.isoformat()
    return bytes(cell) if isinstance(cell, bytearray) else cell
