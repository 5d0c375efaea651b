"""Requests at the edges of a signature, made from the package's example; and what their outcomes say of the model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from servery.check.bodies import RowsBody, read_rows
from servery.check.report import Finding, Look, Verdict
from servery_worker.schema import NUMPY_NAMES, Column, ColumnType, Signature, Tensor
from servery_worker.wire import Outcome

_MANY_ROWS = 1000
_BODY_BYTES_MAX = 4 << 20
_LONG_TEXT = "long text, " * 10_000
_STRANGE_TEXT = "\u0000 \u202e \U0001f9c1 é ' \" \\ <b> %s {x} \n"
_TEXT_SHOWN = 200

_NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.LONG, ColumnType.FLOAT, ColumnType.DOUBLE})
_LARGEST = {
    ColumnType.INTEGER: 2**31 - 1,
    ColumnType.LONG: 2**63 - 1,
    ColumnType.FLOAT: 3.4e38,
    ColumnType.DOUBLE: 1.7e308,
    ColumnType.DATETIME: "2262-04-11T23:47:16",
    ColumnType.BOOLEAN: True,
}
_SMALLEST = {
    ColumnType.INTEGER: -(2**31),
    ColumnType.LONG: -(2**63),
    ColumnType.FLOAT: -3.4e38,
    ColumnType.DOUBLE: -1.7e308,
    ColumnType.DATETIME: "1677-09-21T00:12:44",
    ColumnType.BOOLEAN: False,
}
_ORDINARY = {
    ColumnType.INTEGER: 1,
    ColumnType.LONG: 1,
    ColumnType.FLOAT: 1.0,
    ColumnType.DOUBLE: 1.0,
    ColumnType.STRING: "text",
    ColumnType.BINARY: "AA==",
    ColumnType.DATETIME: "2024-01-01T00:00:00",
    ColumnType.BOOLEAN: True,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A request at an edge. ``is_ordinary``: callers will send such requests, and the model should answer them."""

    name: str
    body: bytes
    is_ordinary: bool = False
    must_refuse: bool = False


class Ending(Enum):
    """How a case ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """With a sentence that says what is wrong with the input."""
    RAISED = "raised"
    """The model raised; callers get 400 and what it said."""
    UNWRITABLE = "unwritable"
    """The model's answer has no form in JSON; callers get 500."""
    ENDED = "ended"
    """The worker ended."""
    HUNG = "hung"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Observation:
    case: Case
    ending: Ending
    text: str = ""


ENDINGS = {
    Outcome.OK: Ending.ANSWERED,
    Outcome.BAD_REQUEST: Ending.REFUSED,
    Outcome.INVALID_INPUT: Ending.REFUSED,
    Outcome.MODEL_REFUSED: Ending.REFUSED,
    Outcome.MODEL_RAISED: Ending.RAISED,
    Outcome.UNENCODABLE: Ending.UNWRITABLE,
}


def ordinary_body(signature: Signature | None) -> bytes | None:
    """A request that fits the signature, for a package without an example; None where none can be made up."""
    specs = signature.inputs if signature is not None else None
    if not specs:
        return None
    if isinstance(specs[0], Tensor):
        if len(specs) != 1 or specs[0].name is not None:
            return None
        shape = [1 if length < 0 else length for length in specs[0].shape]
        kind = "text" if specs[0].dtype in ("str", "object") else 1 if "int" in specs[0].dtype else 1.0
        return None if math.prod(shape) > 1_000_000 else json.dumps({"inputs": _filled(shape, kind)}).encode()
    columns = [column for column in specs if isinstance(column, Column)]
    if any(column.type not in _ORDINARY for column in columns):
        return None
    row = [_ORDINARY[column.type] for column in columns]
    if columns[0].name is None:
        return json.dumps({"inputs": row[:1] if len(columns) == 1 else [row]}).encode()
    names = [column.name for column in columns]
    return json.dumps({"dataframe_split": {"columns": names, "data": [row]}}).encode()


def _filled(shape: Sequence[int], value: Any) -> Any:
    return value if not shape else [_filled(shape[1:], value) for _ in range(shape[0])]


def cases(signature: Signature | None, example: bytes) -> list[Case]:
    """The edges of ``signature`` around ``example``, a request that the model answers."""
    body = read_rows(example)
    if body is None or not body.rows:
        return list(_cases_of_values(json.loads(example)))
    found = [*_cases_of_rows(signature, body), *_cases_of_columns(signature, body)]
    return [case for case in found if len(case.body) <= _BODY_BYTES_MAX]


def _cases_of_columns(signature: Signature | None, body: RowsBody) -> Iterator[Case]:
    columns = _named_columns(signature)
    rows = _as_records(body)
    if not columns or rows is None:
        return
    row = rows[0]

    def case(name: str, cells: Mapping[str, Any], **flags: bool) -> Case:
        request = {"dataframe_split": {"columns": list(cells), "data": [list(cells.values())]}, **body.others}
        return Case(name, json.dumps(request).encode(), **flags)

    for column in columns[:1]:
        without = {name: cell for name, cell in row.items() if name != column.name}
        yield case(f"a request without column '{column.name}'", without, must_refuse=column.required)
    for column in [one for one in columns if not one.required and one.name in row][:3]:
        without = {name: cell for name, cell in row.items() if name != column.name}
        yield case(f"a request without the optional column '{column.name}'", without, is_ordinary=True)
    yield case("a column more than the signature has", {**row, "column that nobody knows": 1}, is_ordinary=True)
    for column in [one for one in columns if one.type in _NUMBERS and one.name in row][:1]:
        yield case(
            f"text in the column of numbers '{column.name}'", {**row, str(column.name): "text"}, must_refuse=True
        )
    for column in [one for one in columns if one.type is ColumnType.STRING and one.name in row][:1]:
        yield case(f"a number in the column of texts '{column.name}'", {**row, str(column.name): 17})
    for column in [one for one in columns if one.name in row][:_COLUMNS_MAX]:
        yield case(f"a null in column '{column.name}'", {**row, str(column.name): None})


_COLUMNS_MAX = 8
"""How many columns get a request of their own."""


def _cases_of_rows(signature: Signature | None, body: RowsBody) -> Iterator[Case]:
    types = _types(signature, body)
    row = body.rows[0]

    def rows(name: str, change: Callable[[Any, ColumnType | None], Any], *, is_ordinary: bool = False) -> Case:
        return Case(name, body.encode([_changed(row, types, change)]), is_ordinary=is_ordinary)

    yield Case("no rows", body.encode([]))
    yield Case(f"{_MANY_ROWS} rows", body.encode([body.rows[i % len(body.rows)] for i in range(_MANY_ROWS)]), True)
    yield rows("nulls", lambda _cell, _type: None)
    yield rows("zeros and empty texts", _emptied)
    yield rows("the largest values", lambda cell, kind: _extreme(cell, kind, _LARGEST, 1))
    yield rows("the smallest values", lambda cell, kind: _extreme(cell, kind, _SMALLEST, -1))
    if any(isinstance(leaf, str) for leaf in _cells(row)):
        yield rows("strange characters", lambda cell, kind: _STRANGE_TEXT if _is_text(cell, kind) else cell)
        yield rows("long texts", lambda cell, kind: _LONG_TEXT if _is_text(cell, kind) else cell)
    if any(isinstance(leaf, int | float) for leaf in _cells(row)) and body.columns is None:
        yield rows("text for numbers", lambda cell, _: cell if isinstance(cell, str) else "text")
    if isinstance(row, list) and row and body.columns is None:
        yield Case("a row with an entry too many", body.encode([[*row, row[-1]]]))


def _cases_of_values(request: Mapping[str, Any]) -> Iterator[Case]:
    """For a request whose input is no rows: an object, a value, messages."""

    def case(name: str, change: Callable[[Any, ColumnType | None], Any]) -> Case:
        return Case(name, json.dumps({key: _changed(item, None, change) for key, item in request.items()}).encode())

    yield case("nulls", lambda _cell, _type: None)
    yield case("zeros and empty texts", _emptied)
    yield case("long texts", lambda cell, kind: _LONG_TEXT if _is_text(cell, kind) else cell)


def _named_columns(signature: Signature | None) -> list[Column]:
    specs = (signature.inputs if signature is not None else None) or ()
    return [spec for spec in specs if isinstance(spec, Column) and spec.name is not None]


def _as_records(body: RowsBody) -> list[dict[str, Any]] | None:
    if body.columns is not None:
        return [dict(zip(body.columns, row, strict=False)) for row in body.rows if isinstance(row, list)] or None
    return [row for row in body.rows if isinstance(row, dict)] or None


def _types(
    signature: Signature | None, body: RowsBody
) -> Sequence[ColumnType | None] | Mapping[str, ColumnType] | None:
    """The declared type of each cell of a row, by its place or its name."""
    specs = (signature.inputs if signature is not None else None) or ()
    columns = [spec for spec in specs if isinstance(spec, Column)]
    if not columns:
        return [_type_of_tensor(spec) for spec in specs if isinstance(spec, Tensor)][:1] or None
    named = {column.name: column.type for column in columns if column.name is not None}
    if body.columns is not None:
        return [named.get(name) for name in body.columns]
    return named or [column.type for column in columns]


def _type_of_tensor(tensor: Tensor) -> ColumnType | None:
    return next((kind for kind, name in NUMPY_NAMES.items() if name == tensor.dtype), None)


def _changed(cell: Any, types: Any, change: Callable[[Any, ColumnType | None], Any]) -> Any:
    if isinstance(cell, dict):
        named = types if isinstance(types, dict) else {}
        return {name: _changed(item, named.get(name), change) for name, item in cell.items()}
    if isinstance(cell, list):
        placed = types if isinstance(types, list) and len(types) == len(cell) else [_one(types)] * len(cell)
        return [_changed(item, kind, change) for item, kind in zip(cell, placed, strict=True)]
    return change(cell, _one(types))


def _one(types: Any) -> ColumnType | None:
    if isinstance(types, list) and len(types) == 1:
        return _one(types[0])
    return types if isinstance(types, ColumnType) else None


def _emptied(cell: Any, kind: ColumnType | None) -> Any:
    if isinstance(cell, str):
        return cell if kind in (ColumnType.DATETIME, ColumnType.BINARY) else ""
    return False if isinstance(cell, bool) else type(cell)(0) if isinstance(cell, int | float) else cell


def _extreme(cell: Any, kind: ColumnType | None, values: Mapping[ColumnType, Any], sign: int) -> Any:
    if kind is not None and kind in values:
        return values[kind]
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return sign > 0
    return sign * 2**53 if isinstance(cell, int) else sign * 1.7e308 if isinstance(cell, float) else cell


def _is_text(cell: Any, kind: ColumnType | None) -> bool:
    return isinstance(cell, str) and kind not in (ColumnType.DATETIME, ColumnType.BINARY)


def _cells(row: Any) -> list[Any]:
    if isinstance(row, dict):
        return [leaf for item in row.values() for leaf in _cells(item)]
    return [leaf for item in row for leaf in _cells(item)] if isinstance(row, list) else [row]


def judge(observations: Sequence[Observation]) -> Finding:
    """What the edges say of the model, in one sentence."""
    facts = {one.case.name: {"ending": one.ending.value, "text": one.text[:_TEXT_SHOWN]} for one in observations}
    by = {ending: [one for one in observations if one.ending is ending] for ending in Ending}
    fatal = by[Ending.ENDED] + by[Ending.HUNG]
    if fatal:
        what = "A request can end its worker" if by[Ending.ENDED] else "A request can make it hang"
        sentence = f"{what}, with {_named(fatal)}: {fatal[0].text}."
        return Finding(Look.EDGES, Verdict.BROKEN, sentence, facts)
    if by[Ending.UNWRITABLE]:
        sentence = f"Its answer to {_named(by[Ending.UNWRITABLE])} cannot be written as JSON: callers get 500."
        return Finding(Look.EDGES, Verdict.WARNING, sentence, facts)
    ordinary = [one for one in by[Ending.RAISED] if one.case.is_ordinary]
    if ordinary:
        sentence = f"It raises on {_named(ordinary)}, which callers will send: {ordinary[0].text.rstrip('.')}."
        return Finding(Look.EDGES, Verdict.WARNING, sentence, facts)
    lenient = [one for one in by[Ending.ANSWERED] if one.case.must_refuse]
    if lenient:
        sentence = f"It answers {_named(lenient)}, which its signature rules out."
        return Finding(Look.EDGES, Verdict.WARNING, sentence, facts)
    count = f"{len(observations)} requests at the edges of its signature got an answer or a refusal"
    if by[Ending.RAISED]:
        shown = by[Ending.RAISED][0].text.removeprefix("The model raised ").rstrip(".")[:_TEXT_SHOWN]
        sentence = f"{count}; it raises on {_named(by[Ending.RAISED])} ({shown}), and callers get 400."
        return Finding(Look.EDGES, Verdict.NOTE, sentence, facts)
    return Finding(Look.EDGES, Verdict.OK, f"{count}, and its worker lives on.", facts)


def _named(observations: Iterable[Observation]) -> str:
    names = [one.case.name for one in observations]
    if len(names) <= 3:
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[:3])} and {len(names) - 3} more"
