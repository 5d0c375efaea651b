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
    """What a model takes and gives. None where nothing is said; no params are an empty tuple."""

    inputs: Specs | None = None
    outputs: Specs | None = None
    params: tuple[Param, ...] | None = None
    is_from_type_hint: bool = False
    """The model checks its input itself, by the type hint of its ``predict``: it is given the value that was sent."""

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any] | None) -> Signature | None:
        """Read the ``signature`` entry of an MLmodel file.

        Raises:
            SchemaError: it is not what MLflow reads, or it contradicts itself.
        """
        from servery_worker.signature_file import read_params, read_specs

        if entry is None:
            return None
        if not isinstance(entry, Mapping):
            raise SchemaError("'signature' is not a mapping")
        return cls(
            inputs=read_specs(entry.get("inputs"), "inputs"),
            outputs=read_specs(entry.get("outputs"), "outputs"),
            params=read_params(entry.get("params")),
        )

    def to_manifest(self) -> dict[str, str | None]:
        """The ``signature`` entry of an MLmodel file: each part a JSON string or None."""
        return {
            "inputs": _write(self.inputs),
            "outputs": _write(self.outputs),
            "params": _write(self.params),
        }


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
