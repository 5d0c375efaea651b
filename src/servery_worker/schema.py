"""Signature types and their enforcement, as MLflow writes them in an MLmodel file (``mlflow/types/schema.py``).

A signature has inputs, outputs and params, each written as a JSON string. Inputs are either columns of a table or
tensors, never both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union


class ColumnType(str, Enum):
    """MLflow's scalar types, and those that hold others."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    """int32"""
    LONG = "long"
    """int64"""
    FLOAT = "float"
    """float32"""
    DOUBLE = "double"
    """float64"""
    STRING = "string"
    BINARY = "binary"
    DATETIME = "datetime"
    """datetime64[ns]"""
    ARRAY = "array"
    OBJECT = "object"
    MAP = "map"
    ANY = "any"


NUMPY_NAMES = {
    ColumnType.BOOLEAN: "bool",
    ColumnType.INTEGER: "int32",
    ColumnType.LONG: "int64",
    ColumnType.FLOAT: "float32",
    ColumnType.DOUBLE: "float64",
    ColumnType.STRING: "str",
    ColumnType.BINARY: "bytes",
    ColumnType.DATETIME: "datetime64[ns]",
}
"""The numpy dtype of a scalar column."""

NESTED_TYPES = frozenset((ColumnType.ARRAY, ColumnType.OBJECT, ColumnType.MAP, ColumnType.ANY))


class SchemaError(ValueError):
    """A signature that cannot be read."""


class InvalidInput(ValueError):
    """An input that breaks the signature; the message is one sentence that names the column."""


@dataclass(frozen=True)
class Column:
    """One column of a table. ``detail`` keeps ``items``, ``properties`` or ``values`` of a nested type as written."""

    type: ColumnType
    name: str | None = None
    required: bool = True
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Tensor:
    """An array; -1 in ``shape`` stands for any length."""

    dtype: str
    shape: tuple[int, ...]
    name: str | None = None


@dataclass(frozen=True)
class Param:
    """A named option of ``predict``. ``shape`` is None for a scalar, (-1,) for a list."""

    name: str
    type: ColumnType
    default: Any
    shape: tuple[int, ...] | None = None
    detail: Mapping[str, Any] | None = None
    """``properties`` of an object, as written."""


Specs = tuple[Union[Column, Tensor], ...]


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives. None where nothing is said; an empty tuple where nothing is taken."""

    inputs: Specs | None = None
    outputs: Specs | None = None
    params: tuple[Param, ...] | None = None

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any] | None) -> Signature | None:
        """Read the ``signature`` entry of an MLmodel file.

        Raises:
            SchemaError: it is not what MLflow writes.
        """
        if entry is None:
            return None
        if not isinstance(entry, Mapping):
            raise SchemaError("'signature' is not a mapping")
        return cls(
            inputs=_read_specs(entry.get("inputs"), "inputs"),
            outputs=_read_specs(entry.get("outputs"), "outputs"),
            params=_read_params(entry.get("params")),
        )

    def to_manifest(self) -> dict[str, str | None]:
        """The ``signature`` entry of an MLmodel file: each part a JSON string or None."""
        return {
            "inputs": _write(self.inputs),
            "outputs": _write(self.outputs),
            "params": _write(self.params),
        }


def _load_list(text: Any, where: str) -> list[Mapping[str, Any]] | None:
    if text is None:
        return None
    try:
        entries = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        raise SchemaError(f"'signature.{where}' is not JSON") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SchemaError(f"'signature.{where}' is not a list of objects")
    return entries


def _read_specs(text: Any, where: str) -> Specs | None:
    entries = _load_list(text, where)
    if entries is None:
        return None
    return tuple(_read_spec(entry, f"{where}[{index}]") for index, entry in enumerate(entries))


_NESTED = {ColumnType.ARRAY: "items", ColumnType.OBJECT: "properties", ColumnType.MAP: "values"}


def _read_spec(entry: Mapping[str, Any], where: str) -> Column | Tensor:
    name = entry.get("name")
    if entry.get("type") == "tensor":
        try:
            spec = entry["tensor-spec"]
            return Tensor(str(spec["dtype"]), tuple(int(size) for size in spec["shape"]), name)
        except (KeyError, TypeError, ValueError):
            raise SchemaError(f"'signature.{where}' is a tensor without dtype and shape") from None
    kind = _read_type(entry, where)
    # MLflow's reader takes a missing `required` for true on scalars, and for optional on nested types; some older
    # files say `optional` instead.
    default = kind not in _NESTED and kind is not ColumnType.ANY
    required = bool(entry.get("required", not entry["optional"] if "optional" in entry else default))
    key = _NESTED.get(kind)
    detail = {key: entry[key]} if key is not None and key in entry else None
    return Column(kind, name, required, detail)


def _read_type(entry: Mapping[str, Any], where: str) -> ColumnType:
    text = entry.get("type", entry.get("dtype"))
    try:
        return ColumnType(text)
    except ValueError:
        raise SchemaError(f"'signature.{where}' has the unknown type {text!r}") from None


def _read_params(text: Any) -> tuple[Param, ...] | None:
    entries = _load_list(text, "params")
    if entries is None:
        return None
    params = []
    for index, entry in enumerate(entries):
        if not isinstance(entry.get("name"), str):
            raise SchemaError(f"'signature.params[{index}]' has no name")
        shape = entry.get("shape")
        params.append(
            Param(
                entry["name"],
                _read_type(entry, f"params[{index}]"),
                entry.get("default"),
                None if shape is None else tuple(shape),
                {"properties": entry["properties"]} if "properties" in entry else None,
            )
        )
    return tuple(params)


def _write(specs: tuple[Any, ...] | None) -> str | None:
    return None if specs is None else json.dumps([_write_spec(spec) for spec in specs])


def _write_spec(spec: Column | Tensor | Param) -> dict[str, Any]:
    entry: dict[str, Any]
    if isinstance(spec, Tensor):
        entry = {"type": "tensor", "tensor-spec": {"dtype": spec.dtype, "shape": list(spec.shape)}}
    elif isinstance(spec, Column):
        entry = {"type": spec.type.value, **(spec.detail or {}), "required": spec.required}
    else:
        shape = None if spec.shape is None else list(spec.shape)
        entry = {"type": spec.type.value, "default": spec.default, "shape": shape, **(spec.detail or {})}
    if spec.name is not None:
        entry["name"] = spec.name
    return entry
