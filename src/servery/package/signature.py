"""A signature from examples of a model's input and output, as ``mlflow.models.infer_signature`` gives it.

Tables, lists and plain objects become columns; arrays become tensors whose first dimension is free. Where MLflow
gives up on an input and writes one column of any type, which lets a table lose its other columns, this refuses.
"""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from servery.errors import InvalidInput
from servery_worker.schema import Column, ColumnType, Param, Signature, Specs, Tensor

_EXPECTED = "a pandas DataFrame or Series, a numpy array, a list, a dict or a scalar of plain types"
_ANY: dict[str, Any] = {"type": "any"}
_SCALARS = {bool: "boolean", int: "long", float: "double", str: "string", bytes: "binary", bytearray: "binary"}
_NUMPY_SCALARS = {
    "bool": "boolean",
    "bool_": "boolean",
    "int32": "integer",
    "int64": "long",
    "float32": "float",
    "float64": "double",
    "str_": "string",
    "bytes_": "binary",
    "datetime64": "datetime",
}
_PARAM_TYPES = frozenset({"boolean", "integer", "long", "float", "double", "string", "datetime"})
_NESTED_KEYS = ("items", "properties", "values")


class _Unsupported(ValueError):
    """A value that no signature type describes; the text says which and why."""


def infer_signature(inputs: Any, outputs: Any = None, params: Mapping[str, Any] | None = None) -> Signature:
    """Describe ``inputs``, ``outputs`` (None: nothing is said) and the params that ``predict`` takes.

    Raises:
        InvalidInput: an input or a param that no signature type describes. Such outputs are written as any type.
    """
    try:
        input_specs = None if inputs is None else _infer(inputs)
    except _Unsupported as error:
        raise InvalidInput("inputs", expected=_EXPECTED, got=str(error)) from None
    try:
        output_specs = None if outputs is None else _infer(outputs)
    except _Unsupported:
        output_specs = (_column(_ANY),)
    return Signature(input_specs, output_specs, _infer_params(params) if params else None)


def as_rows(outputs: Any) -> Any:
    """What a model gave for a table, with an array of one value a row seen as a column, as MLflow sees it."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(outputs, numpy.ndarray) and outputs.ndim == 1:
        import pandas

        return pandas.Series(outputs)
    return outputs


def _infer(data: Any) -> Specs:
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        if not data.columns.is_unique or data.columns.nlevels > 1 or len(data.columns) == 0:
            raise _Unsupported("a DataFrame without columns, or with columns that share a name")
        return tuple(_infer_series(data[name], name) for name in data.columns)
    if pandas is not None and isinstance(data, pandas.Series):
        return (_infer_series(data, data.name),)
    if numpy is not None and isinstance(data, numpy.ndarray):
        return (_infer_tensor(data, None),)
    if isinstance(data, dict):
        return _infer_dict(data, numpy)
    if isinstance(data, list):
        return _infer_list(data)
    return (_column(_infer_type(data)),)


def _infer_dict(data: dict[Any, Any], numpy: Any) -> Specs:
    if not data or not all(isinstance(name, str) for name in data):
        raise _Unsupported("a dict that is empty or has keys that are not text")
    if numpy is not None and all(isinstance(value, numpy.ndarray) for value in data.values()):
        return tuple(_infer_tensor(value, name) for name, value in data.items())
    return tuple(
        _column(_infer_type(value), name, not any(map(_is_missing, value if isinstance(value, list) else [value])))
        for name, value in data.items()
    )


def _infer_list(data: list[Any]) -> Specs:
    if not data:
        return (_column({"type": "string"}),)  # MLflow's choice for an empty list.
    if not all(isinstance(item, dict) for item in data):
        return (_column(_infer_items(data)),)
    values: dict[str, list[Any]] = {}
    for row in data:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    if not values:
        raise _Unsupported("a list of empty dicts")
    return tuple(
        _column(_infer_items(column), name, all(row.get(name) is not None for row in data))
        for name, column in values.items()
    )


def _infer_tensor(array: Any, name: str | None) -> Tensor:
    if array.ndim == 0:
        raise _Unsupported("an array without dimensions")
    # A text array's dtype has the length of its longest text, which says nothing about the next input.
    dtype = {"U": "str", "S": "bytes"}.get(array.dtype.kind, array.dtype.name)
    return Tensor(dtype, (-1, *array.shape[1:]), name)


def _infer_series(series: Any, name: Any) -> Column:
    if series.dtype.kind == "O":
        series = series.infer_objects()
    try:
        objects = series.dtype.kind == "O"
        entry = _infer_items(series.to_list()) if objects else {"type": _scalar_of_dtype(series.dtype)}
    except _Unsupported as error:
        raise _Unsupported(f"column {name!r}: {error}") from None
    return _column(entry, name, not any(map(_is_missing, series)))


def _scalar_of_dtype(dtype: Any) -> str:
    """MLflow's type for a numpy or pandas dtype: the smallest of its own that holds every value."""
    kind, size = dtype.kind, getattr(dtype, "itemsize", None)
    if size is None:  # A sparse column.
        raise _Unsupported(f"the dtype {dtype}")
    if kind in "iu" and not (kind == "u" and size == 8):
        return "integer" if size < 4 or (kind == "i" and size == 4) else "long"
    if kind == "f" and size <= 8:
        return "float" if size <= 4 else "double"
    try:
        return {"b": "boolean", "U": "string", "S": "binary", "M": "datetime"}[kind]
    except KeyError:
        raise _Unsupported(f"the dtype {dtype}") from None


def _infer_type(value: Any) -> dict[str, Any]:
    """The type of one value, in the signature's JSON form."""
    numpy = sys.modules.get("numpy")
    if _is_missing(value) or (isinstance(value, list | dict) and not value):
        return _ANY
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise _Unsupported("a dict with keys that are not text")
        types = {name: _infer_type(item) for name, item in sorted(value.items())}
        return {
            "type": "object",
            "properties": {name: {**entry, "required": entry != _ANY} for name, entry in types.items()},
        }
    if isinstance(value, list) or (numpy is not None and isinstance(value, numpy.ndarray)):
        return {"type": "array", "items": _infer_items(value)}
    kind = _SCALARS.get(type(value))
    if kind is None and numpy is not None and isinstance(value, numpy.generic):
        kind = _NUMPY_SCALARS.get(type(value).__name__)
    if kind is None and isinstance(value, datetime.date):  # datetime and pandas' Timestamp are dates, too.
        kind = "datetime"
    if kind is None:
        raise _Unsupported(f"a value of type {type(value).__name__}")
    return {"type": kind}


def _infer_items(values: Sequence[Any]) -> dict[str, Any]:
    """The one type that all values have."""
    merged: dict[str, Any] | None = None
    for value in values:
        entry = _infer_type(value)
        merged = entry if merged is None else _merge(merged, entry)
    if merged is None:
        raise _Unsupported("an empty array")
    return merged


def _merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The type of a value that is of either type: a property that only one has becomes optional."""
    if one == _ANY and other["type"] != "any":
        one, other = other, one
    if one == other:
        return one
    if one["type"] == "object" and other["type"] in ("object", "any"):
        return {"type": "object", "properties": _merge_properties(one["properties"], other.get("properties", {}))}
    if other == _ANY:
        return one
    if one["type"] == other["type"] == "array":
        return {"type": "array", "items": _merge(one["items"], other["items"])}
    raise _Unsupported(f"values of different types, {one['type']} and {other['type']}")


def _merge_properties(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = {}
    for name in sorted({*one, *other}):
        if name in one and name in other:
            types = [{key: entry[key] for key in entry if key != "required"} for entry in (one[name], other[name])]
            merged[name] = {**_merge(*types), "required": one[name]["required"] and other[name]["required"]}
        else:
            merged[name] = {**(one.get(name) or other[name]), "required": False}
    return merged


def _infer_params(params: Mapping[str, Any]) -> tuple[Param, ...]:
    return tuple(_infer_param(str(name), value) for name, value in params.items())


def _infer_param(name: str, value: Any) -> Param:
    values = value if isinstance(value, list) else [value]
    try:
        types = [_infer_type(item) for item in values]
    except _Unsupported:
        types = []
    kinds = {entry["type"] for entry in types}
    if kinds == {"long", "double"}:
        kinds = {"double"}
    if kinds == {"object"} and not isinstance(value, list):
        return Param(name, ColumnType.OBJECT, value, None, {"properties": types[0]["properties"]})
    if len(kinds) != 1 or not kinds <= _PARAM_TYPES:
        raise InvalidInput(f"params.{name}", expected="a scalar, a dict, or a list of one scalar type", got=value)
    kind = ColumnType(kinds.pop())
    plain = [_iso(item) if kind is ColumnType.DATETIME else item for item in values]
    return Param(name, kind, plain, (-1,)) if isinstance(value, list) else Param(name, kind, plain[0])


def _iso(moment: Any) -> str:
    """A datetime, a date, or what numpy or pandas has for one."""
    return str(moment.isoformat() if hasattr(moment, "isoformat") else moment)


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _column(entry: Mapping[str, Any], name: Any = None, required: bool = True) -> Column:
    """A column of a type in JSON form. One without a name is never optional: MLflow's schema forbids it."""
    detail = {key: entry[key] for key in _NESTED_KEYS if key in entry} or None
    return Column(ColumnType(entry["type"]), name, required or name is None, detail)
