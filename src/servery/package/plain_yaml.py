"""The text of an MLmodel file as plain data: bounded before anything is built, and JSON types only."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from servery.errors import PackageInvalid

MLMODEL_BYTES_MAX = 1 << 20
DEPTH_MAX = 32
NODES_MAX = 50_000
"""Mappings, lists and scalars, with each alias counted as all that it repeats."""
_LONG_NUMBER = re.compile(r"[-+0-9_:.]{1000,}")
"""YAML reads `1:2:3` as a number of base 60, and takes minutes for a long one."""
_SHOWN_LENGTH_MAX = 200
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ODD_SCALARS = (ValueError, ArithmeticError, TypeError, LookupError, AttributeError)
"""What PyYAML's constructors of dates and numbers raise on texts that are none."""


def load_plain(text: bytes, *, what: str = "The MLmodel file") -> Any:
    """What the YAML says; ``what`` is the subject of the sentences that refuse it.

    Raises:
        PackageInvalid: it is too large or too deep, says the same key twice, or is no plain YAML.
    """
    if len(text) > MLMODEL_BYTES_MAX:
        raise PackageInvalid(f"{what} is larger than {MLMODEL_BYTES_MAX} bytes.")
    try:
        decoded = text.decode("utf-8")
        _check_events(decoded, what)
        return _plain(yaml.load(decoded, Loader=_Loader), "the top", what)  # noqa: S506  # A safe loader, the C one if built.
    except (yaml.YAMLError, RecursionError, *_ODD_SCALARS) as error:
        where = _line(getattr(error, "problem_mark", None))
        raise PackageInvalid(f"{what} is not plain YAML{where}.") from None


def _line(mark: Any) -> str:
    return "" if mark is None else f" (line {mark.line + 1})"


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    anchor: str | None
    nodes_before: int
    is_mapping: bool
    keys: set[str] = field(default_factory=set)
    is_key_next: bool = True


def _check_events(text: str, what: str) -> None:
    """Refuse deep nesting, alias bombs, long numbers and keys that come twice, before anything is built."""
    open_nodes: list[_Open] = []
    sizes: dict[str, int] = {}
    nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.NodeEvent):
            _check_node(event, open_nodes[-1] if open_nodes else None, what)
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append(_Open(event.anchor, nodes, isinstance(event, yaml.MappingStartEvent)))
            nodes += 1
            if event.anchor is not None:
                sizes[event.anchor] = NODES_MAX + 1  # Until it ends: an alias inside itself would repeat without end.
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = open_nodes.pop()
            if ended.anchor is not None:
                sizes[ended.anchor] = nodes - ended.nodes_before
        if len(open_nodes) > DEPTH_MAX or nodes > NODES_MAX:
            raise PackageInvalid(
                f"{what} holds more than {DEPTH_MAX} levels or {NODES_MAX} entries, aliases counted in full."
            )


def _check_node(event: yaml.NodeEvent, parent: _Open | None, what: str) -> None:
    is_key = parent is not None and parent.is_mapping and parent.is_key_next
    if parent is not None:
        parent.is_key_next = not parent.is_key_next
    if not isinstance(event, yaml.ScalarEvent):
        return
    if _LONG_NUMBER.fullmatch(event.value):
        raise PackageInvalid(f"{what} has a number of too many digits{_line(event.start_mark)}.")
    if parent is not None and is_key:
        if event.value in parent.keys:
            key = event.value[:_SHOWN_LENGTH_MAX]
            raise PackageInvalid(f"{what} has the key {key!r} twice{_line(event.start_mark)}.")
        parent.keys.add(event.value)


def _plain(value: Any, where: str, what: str) -> Any:
    """The same value in JSON types: dates become text, and not-a-number becomes null."""
    if isinstance(value, dict):
        if not all(isinstance(key, str | int | float | None) for key in value):
            raise PackageInvalid(f"{what} has a key under {where} that is not text.")
        plain = {
            _plain(str(key), where, what): _plain(item, f"'{str(key)[:_SHOWN_LENGTH_MAX]}'", what)
            for key, item in value.items()
        }
        if len(plain) != len(value):
            raise PackageInvalid(f"{what} has a key under {where} twice, as text and as a number.")
        return plain
    if isinstance(value, list):
        return [_plain(item, where, what) for item in value]
    if isinstance(value, str):
        value.encode()  # A lone surrogate has no form in JSON; the ValueError is caught above.
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    if isinstance(value, datetime.date):
        return str(value)
    raise PackageInvalid(f"{what} has a value under {where} that is no text, number, list or mapping.")
