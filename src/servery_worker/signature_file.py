"""The ``signature`` entry of an MLmodel file, read as MLflow reads it, and refused where it contradicts itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from servery_worker.defaults import default_fits
from servery_worker.schema import Column, ColumnType, Param, SchemaError, Specs, Tensor

DEPTH_MAX = 32
"""The deepest nesting of arrays, objects and maps."""
_DIMENSIONS_MAX = 64
"""numpy's own limit."""
_WHERE_LENGTH_MAX = 200
_VECTOR = "sparkml_vector"
"""MLflow's name for an array of doubles that came from Spark."""
_INNER = {ColumnType.ARRAY: "items", ColumnType.OBJECT: "properties", ColumnType.MAP: "values"}
_PARAM_TYPES = frozenset(ColumnType) - {ColumnType.BINARY, ColumnType.ARRAY, ColumnType.MAP, ColumnType.ANY}
_COLUMN_KEYS = frozenset({"type", "name", "required", "optional"})
_DTYPE = re.compile(
    r"bool_?|u?int(8|16|32|64)|float(16|32|64|96|128)|complex(64|128|192|256)|str_?|bytes_?|object_?"
    r"|(datetime64|timedelta64)(\[\d*(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
    r"|[<>=|]?(b1|[iu][1248]|f[248]|c8|c16|O|U|S)"
)
"""numpy's names, which MLflow writes, and the short forms of the same; text has no length in a signature."""

Entry = Mapping[str, Any]


def read_specs(text: Any, where: str) -> Specs | None:
    """The columns or tensors of ``inputs`` or ``outputs``.

    Raises:
        SchemaError: they are not what MLflow reads, or contradict each other.
    """
    entries = _load_list(text, where)
    if entries is None:
        return None
    specs = tuple(_read_spec(entry, f"{where}[{index}]") for index, entry in enumerate(entries))
    tensors = [isinstance(spec, Tensor) for spec in specs]
    unnamed = [spec.name is None for spec in specs]
    if not specs:
        raise _broken(where, "is an empty list")
    if any(tensors) and not all(tensors):
        raise _broken(where, "mixes columns and tensors")
    if any(unnamed) and not all(unnamed):
        raise _broken(where, "mixes entries with a name and without")
    if all(tensors) and any(unnamed) and len(specs) > 1:
        raise _broken(where, "has several tensors without a name")
    if not any(unnamed):
        _check_unique([spec.name for spec in specs], where)
    return specs


def read_params(text: Any) -> tuple[Param, ...] | None:
    """The params; raises SchemaError as :func:`read_specs` does."""
    entries = _load_list(text, "params")
    if entries is None:
        return None
    params = tuple(_read_param(entry, f"params[{index}]") for index, entry in enumerate(entries))
    _check_unique([param.name for param in params], "params")
    return params


def _broken(where: str, what: str) -> SchemaError:
    return SchemaError(f"'signature.{where[:_WHERE_LENGTH_MAX]}' {what}")


def _check_unique(names: Sequence[Any], where: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise _broken(where, f"has the name {_shown(name)} twice")
        seen.add(name)


def _shown(value: Any) -> str:
    return repr(value)[:_WHERE_LENGTH_MAX]


def _load_list(text: Any, where: str) -> list[Entry] | None:
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise _broken(where, "is not JSON in a string")
    try:
        entries = json.loads(text, object_pairs_hook=_read_object)
    except (ValueError, RecursionError):
        raise _broken(where, "is not JSON, or names a key twice in an object") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _broken(where, "is not a list of objects")
    return entries


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields


def _read_spec(entry: Entry, where: str) -> Column | Tensor:
    name = entry.get("name")
    if isinstance(name, (dict, list)):
        raise _broken(where, "has a name that is not text")
    if entry.get("type") == "tensor":
        return _read_tensor(entry.get("tensor-spec"), name, where)
    kind, detail = _read_type(entry, where, 0)
    nested = kind in _INNER or kind is ColumnType.ANY
    if not nested and not _COLUMN_KEYS.issuperset(entry):
        raise _broken(where, f"has the unknown field {_shown(min(set(entry) - _COLUMN_KEYS))}")
    # MLflow's reader takes a missing `required` for true on scalars, and for optional on nested types; some older
    # files say `optional` instead.
    default = (not entry["optional"]) if "optional" in entry else (None if nested else True)
    required = entry.get("required", default)
    if "optional" in entry and required is entry["optional"]:
        raise _broken(where, f"is both required and optional, or neither: both are {_shown(required)}")
    if not isinstance(required, (bool, type(None))):
        raise _broken(where, f"has 'required' as {_shown(required)}; expected true or false")
    if name is None and required is False:
        raise _broken(where, "is optional, but has no name")
    return Column(kind, name, bool(required), detail)


def _read_tensor(spec: Any, name: Any, where: str) -> Tensor:
    if not isinstance(spec, dict) or not {"dtype", "shape"} <= set(spec):
        raise _broken(where, "is a tensor without dtype and shape")
    dtype, shape = spec["dtype"], spec["shape"]
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise _broken(where, f"has the unknown dtype {_shown(dtype)}")
    is_shape = isinstance(shape, list) and all(type(size) is int and -1 <= size < 1 << 63 for size in shape)
    if not is_shape or len(shape) > _DIMENSIONS_MAX:
        raise _broken(where, f"has the shape {_shown(shape)}; expected a list of lengths, -1 for any")
    return Tensor(dtype, tuple(shape), name)


def _read_type(entry: Entry, where: str, depth: int) -> tuple[ColumnType, dict[str, Any] | None]:
    """The type, and ``items``, ``properties`` or ``values`` where it has such."""
    text = entry.get("type")
    if text == _VECTOR:
        return ColumnType.ARRAY, {"items": {"type": "double"}}
    kind = _read_name(text, where)
    key = _INNER.get(kind)
    if key is None:
        return kind, None
    if depth >= DEPTH_MAX:
        raise _broken(where, f"is nested more than {DEPTH_MAX} levels deep")
    inner = entry.get(key)
    if not isinstance(inner, dict) or not inner:
        raise _broken(where, f"is of type {kind.value}, but has no {key}")
    if kind is not ColumnType.OBJECT:
        return kind, {key: _read_inner(inner, f"{where}.{key}", depth + 1)}
    properties = {name: _read_property(spec, f"{where}.{name}", depth + 1) for name, spec in inner.items()}
    return kind, {key: properties}


def _read_name(text: Any, where: str) -> ColumnType:
    try:
        return ColumnType(text)
    except ValueError:
        raise _broken(where, f"has the unknown type {_shown(text)}") from None


def _read_inner(entry: Any, where: str, depth: int) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise _broken(where, "is not an object with a type")
    kind, detail = _read_type(entry, where, depth)
    return {"type": kind.value, **(detail or {})}


def _read_property(entry: Any, where: str, depth: int) -> dict[str, Any]:
    if isinstance(entry, dict) and entry.get("type") == _VECTOR:
        raise _broken(where, f"is a {_VECTOR}, which a property cannot be")
    return {**_read_inner(entry, where, depth), "required": bool(entry.get("required", True))}


def _read_param(entry: Entry, where: str) -> Param:
    if not {"name", "default"} <= set(entry):
        raise _broken(where, "has no name or no default")
    kind, detail = _read_type({**entry, "type": entry.get("type") or entry.get("dtype")}, where, 0)
    if kind not in _PARAM_TYPES:
        raise _broken(where, f"is of type {kind.value}, which a param cannot be")
    shape: tuple[int, ...] | None = None
    if entry.get("shape") is not None:
        shape = (-1,)
        if entry["shape"] != [-1] or kind is ColumnType.OBJECT:
            raise _broken(
                where, f"has the shape {_shown(entry['shape'])}; expected null, or [-1] for a list of scalars"
            )
    if not default_fits(entry["default"], {"type": kind.value, **(detail or {})}, is_list=shape is not None):
        expected = f"a list of {kind.value}" if shape else kind.value
        raise _broken(where, f"has the default {_shown(entry['default'])}; expected {expected}")
    return Param(str(entry["name"]), kind, entry["default"], shape, detail)
