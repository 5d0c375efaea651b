"""Cells of the nested types ``array``, ``object``, ``map`` and ``any``, checked element by element as MLflow does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from servery_worker.conversions import convert_safely, describe
from servery_worker.schema import Column, ColumnType, InvalidInput


def conform_cell(where: str, value: Any, column: Column, required: bool | None = None) -> Any:
    """One cell of a nested column, its elements in the signature's types.

    Raises:
        InvalidInput: it breaks the type; the sentence begins with ``where``.
    """
    spec = {"type": column.type.value, **(column.detail or {})}
    return _conform(where, value, spec, column.required if required is None else required)


def _conform(where: str, value: Any, spec: Mapping[str, Any], required: bool) -> Any:
    kind = ColumnType(spec["type"])
    if kind is ColumnType.ANY:
        return value
    if kind is ColumnType.ARRAY:
        return _conform_array(where, value, spec["items"], required)
    if kind is ColumnType.OBJECT:
        return _conform_object(where, value, spec["properties"], required)
    if kind is ColumnType.MAP:
        return _conform_map(where, value, spec["values"], required)
    return _conform_scalar(where, value, kind, required)


def _conform_scalar(where: str, value: Any, kind: ColumnType, required: bool) -> Any:
    import numpy as np
    import pandas as pd

    if not required and (value is None or (isinstance(value, float) and math.isnan(value))):
        return None
    if not np.isscalar(value):
        raise InvalidInput(f"{where}: expected {kind.value}, got {describe(value)}.")
    try:
        return convert_safely(where, pd.Series([value]), kind)[0]
    except InvalidInput:
        raise InvalidInput(f"{where}: expected {kind.value}, got {describe(value)}.") from None


def _conform_array(where: str, value: Any, items: Mapping[str, Any], required: bool) -> Any:
    import numpy as np
    import pandas as pd

    kind = ColumnType(items["type"])
    is_list = isinstance(value, (list, np.ndarray))
    if (not required or kind is ColumnType.ANY) and (value is None or (is_list and len(value) == 0)):
        return value
    if not is_list:
        raise InvalidInput(f"{where}: expected a list, got {describe(value)}.")
    if kind in _CONTAINERS or kind is ColumnType.ANY:
        elements: Any = [_conform(f"{where}[{index}]", item, items, required) for index, item in enumerate(value)]
        return _as_array(elements) if isinstance(value, np.ndarray) else elements
    if len(value) == 0:
        return value
    series = convert_safely(f"{where}, a list", pd.Series(value), kind)
    array = series.to_numpy(dtype=_dtype(kind))
    return array.tolist() if isinstance(value, list) else array


def _as_array(elements: list[Any]) -> Any:
    """As numpy has it, but that lists of different lengths are an array of arrays."""
    import numpy as np

    try:
        return np.array(elements)
    except ValueError:
        made = np.empty(len(elements), object)
        made[:] = elements
        return made


_CONTAINERS = (ColumnType.ARRAY, ColumnType.OBJECT, ColumnType.MAP)


def _dtype(kind: ColumnType) -> Any:
    import numpy as np

    from servery_worker.schema import NUMPY_NAMES

    return np.dtype(NUMPY_NAMES[kind])


def _conform_object(where: str, value: Any, properties: Mapping[str, Any], required: bool) -> Any:
    if not required and (value is None or value == {}):
        return value
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: expected an object, got {describe(value)}.")
    for name, spec in properties.items():
        if name not in value and spec.get("required", True):
            raise InvalidInput(f"{where}: property {name!r} is missing.")
    for name in value:
        if name not in properties:
            raise InvalidInput(f"{where}: property {name!r} is not one of the signature's.")
    return {
        name: _conform(f"{where}.{name}", item, properties[name], bool(properties[name].get("required", True)))
        for name, item in value.items()
    }


def _conform_map(where: str, value: Any, values: Mapping[str, Any], required: bool) -> Any:
    is_any = ColumnType(values["type"]) is ColumnType.ANY
    if (not required or is_any) and (value is None or value == {}):
        return value
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: expected an object, got {describe(value)}.")
    return {name: _conform(f"{where}.{name}", item, values, required) for name, item in value.items()}
