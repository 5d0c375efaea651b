"""The ``data`` of a tensor in JSON: row-major, as lists nested like the shape or as one flat list."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import chain
from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.conversions import describe
from servery_worker.oip.messages import NUMPY_NAMES, Datatype, InferTensor
from servery_worker.oip.raw import cell_bytes, count_of, object_array

_NULL = type(None)
_FLOATS: frozenset[type] = frozenset((float, int, _NULL))
_CELLS: dict[Datatype, tuple[frozenset[type], str]] = {
    Datatype.BOOL: (frozenset((bool, int, _NULL)), "true or false"),
    Datatype.BYTES: (frozenset((str, _NULL)), "a string"),
    **{datatype: (frozenset((int, _NULL)), "an integer") for datatype in Datatype if "INT" in datatype.value},
    **dict.fromkeys((Datatype.FP16, Datatype.FP32, Datatype.FP64), (_FLOATS, "a number")),
}
"""The types of JSON that a datatype takes, and what to call them; a null is NaN, or a missing value."""


def array_of_json(where: str, datatype: Datatype, shape: tuple[int, ...], data: Any) -> Any:
    """The array of ``shape`` that ``data`` holds, as NUMPY_NAMES says; the cells of BYTES are ``str``.

    Raises:
        BadBody: it is of another shape, or a value is not of the datatype; the sentence begins with ``where``.
    """
    if datatype is Datatype.BF16:
        raise BadBody(f"{where}: BF16 has no form in JSON; send it as binary data.")
    if type(data) is not list:
        raise BadBody(f"{where}: expected 'data' to be a list, got {describe(data)}.")
    count = count_of(where, shape)
    cells = _flat(where, shape, data)
    if len(cells) != count:
        raise BadBody(f"{where}: expected {count} values for the shape {list(shape)}, got {len(cells)}.")
    allowed, name = _CELLS[datatype]
    kinds = set(map(type, cells))
    if not kinds <= allowed:
        place = next(place for place, cell in enumerate(cells) if type(cell) not in allowed)
        raise BadBody(f"{where}: expected {datatype.value}, {name}, got {describe(cells[place])} at place {place}.")
    return _array(where, datatype, cells, kinds).reshape(shape)


def _flat(where: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    """The values one after another; lists may be nested only as the shape says."""
    if not data or type(data[0]) is not list or len(shape) < 2:
        return data
    if len(data) != shape[0]:
        raise BadBody(f"{where}: expected {shape[0]} lists for the shape {list(shape)}, got {len(data)}.")
    level = data
    for size in shape[1:]:
        for item in level:
            if type(item) is not list or len(item) != size:
                got = f"a list of {len(item)}" if type(item) is list else describe(item)
                raise BadBody(f"{where}: expected lists of {size} values for the shape {list(shape)}, got {got}.")
        level = list(chain.from_iterable(level))
    return level


def _array(where: str, datatype: Datatype, cells: list[Any], kinds: set[type]) -> Any:
    import numpy as np

    if datatype is Datatype.BYTES:
        return object_array(cells)
    if datatype is Datatype.BOOL:
        _check_range(where, datatype, cells, 0, 1)
    elif "INT" in datatype.value:
        bounds = np.iinfo(NUMPY_NAMES[datatype])
        _check_range(where, datatype, cells, int(bounds.min), int(bounds.max))
    else:
        return _floats(where, datatype, cells)
    return object_array(cells) if _NULL in kinds else np.array(cells, NUMPY_NAMES[datatype])


def _check_range(where: str, datatype: Datatype, cells: Sequence[Any], low: int, high: int) -> None:
    for place, cell in enumerate(cells):
        if cell is not None and not low <= cell <= high:
            wanted = f"{datatype.value}, from {low} to {high}"
            raise BadBody(f"{where}: expected {wanted}, got {describe(cell)} at place {place}.")


def _floats(where: str, datatype: Datatype, cells: list[Any]) -> Any:
    import numpy as np

    try:
        array = np.array(cells, np.float64)
    except OverflowError:
        raise BadBody(f"{where}: an integer is too large for {datatype.value}.") from None
    if datatype is Datatype.FP64:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(NUMPY_NAMES[datatype])
    if not np.isfinite(narrow).all() and (lost := np.isinf(narrow) & ~np.isinf(array)).any():
        place = int(np.argmax(lost))
        raise BadBody(f"{where}: expected {datatype.value}, got {describe(cells[place])} at place {place}.")
    return narrow


def json_of_array(tensor: InferTensor) -> tuple[list[Any], bool]:
    """A tensor's values in a flat list, and whether they are base64: the bytes that a model gives need not be text.

    A NaN is written as null, as are the infinities, by ``json_text``; a missing text is null, too.
    """
    data = tensor.data
    cells: list[Any] = data.tolist() if data.ndim == 1 else data.ravel().tolist()
    if tensor.datatype is not Datatype.BYTES or bytes not in set(map(type, cells)):
        return cells, False
    return [None if cell is None else base64.b64encode(cell_bytes(cell)).decode() for cell in cells], True
