"""Whether a param's default, as JSON has it, is of the param's type. Nothing but the standard library is needed."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from servery_worker.schema import ColumnType

_MOMENT = re.compile(
    r"\s*(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.\d{1,6})?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?)?)?"
)
_WORDS = frozenset({"", "nat", "now", "today"})
"""What numpy takes for a moment besides."""


def default_fits(value: Any, spec: Mapping[str, Any], *, is_list: bool) -> bool:
    """Whether MLflow takes ``value`` as the default of a param of the type ``spec``, or of a list of it."""
    kind = ColumnType(spec["type"])
    if is_list:
        return isinstance(value, list) and all(_is_scalar(item, kind) for item in value)
    return _is_of(value, spec, required=True) if kind is ColumnType.OBJECT else _is_scalar(value, kind)


def _is_scalar(value: Any, kind: ColumnType) -> bool:
    if value is None:
        return True
    if kind is ColumnType.BOOLEAN:
        return isinstance(value, bool)
    if kind in (ColumnType.STRING, ColumnType.BINARY):
        return isinstance(value, str)
    if kind is ColumnType.DATETIME:
        return isinstance(value, str) and _is_moment(value)
    if kind in (ColumnType.INTEGER, ColumnType.LONG):
        return type(value) is int
    return type(value) is float or (type(value) is int and _is_finite(value))


def _is_finite(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_moment(text: str) -> bool:
    match = _MOMENT.fullmatch(text)
    if match is None:
        return text.strip().lower() in _WORDS
    year, month, day, hour, minute, second = (int(part) for part in match.groups(default="1"))
    try:
        datetime.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # To see whether there is such a one.
    except ValueError:
        return False
    return True


def _is_of(value: Any, spec: Mapping[str, Any], *, required: bool) -> bool:
    kind = ColumnType(spec["type"])
    if kind is ColumnType.ANY or (not required and (value is None or value in ([], {}))):
        return True
    if kind is ColumnType.OBJECT:
        properties = spec["properties"]
        needed = {name for name, inner in properties.items() if inner["required"]}
        return (
            isinstance(value, dict)
            and needed <= set(value) <= set(properties)
            and all(
                _is_of(item, properties[name], required=properties[name]["required"]) for name, item in value.items()
            )
        )
    if kind is ColumnType.ARRAY:
        return isinstance(value, list) and all(_is_of(item, spec["items"], required=required) for item in value)
    if kind is ColumnType.MAP:
        is_map = isinstance(value, dict)
        return is_map and all(_is_of(item, spec["values"], required=required) for item in value.values())
    return value is not None and _is_scalar(value, kind)
