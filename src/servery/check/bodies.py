"""The rows of a scoring request, as JSON: taken apart and put together again, without knowing the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SPLIT = "dataframe_split"
_ROW_FORMS = ("dataframe_records", "inputs", "instances")


@dataclass(frozen=True, slots=True)
class RowsBody:
    """A request whose input is rows; ``others`` are its fields beside the input, such as params."""

    form: str
    columns: tuple[str, ...] | None
    """Of ``dataframe_split``, or of a dict of lists."""
    rows: tuple[Any, ...]
    others: Mapping[str, Any]

    def encode(self, rows: Sequence[Any]) -> bytes:
        """The same request with other rows."""
        if self.form == _SPLIT:
            value: Any = {"columns": list(self.columns or ()), "data": list(rows)}
        elif self.columns is not None:
            value = {name: [row[index] for row in rows] for index, name in enumerate(self.columns)}
        else:
            value = list(rows)
        return json.dumps({self.form: value, **self.others}).encode()


def read_rows(body: bytes) -> RowsBody | None:
    """The rows of a request; None where it has none, or none that could be told apart."""
    request = json.loads(body)
    forms = [form for form in (_SPLIT, *_ROW_FORMS) if isinstance(request, dict) and form in request]
    if len(forms) != 1:
        return None
    [form] = forms
    value = request[form]
    others = {name: item for name, item in request.items() if name != form}
    if form == _SPLIT:
        if not isinstance(value, dict) or not isinstance(value.get("data"), list) or "columns" not in value:
            return None
        return RowsBody(form, tuple(value["columns"]), tuple(value["data"]), others)
    if isinstance(value, dict):
        columns = list(value.values())
        if not columns or not all(isinstance(column, list) for column in columns):
            return None
        if len({len(column) for column in columns}) != 1:
            return None
        return RowsBody(form, tuple(value), tuple(list(row) for row in zip(*columns, strict=True)), others)
    if not isinstance(value, list):
        return None
    return RowsBody(form, None, tuple(value), others)


def answers_of(body: bytes, row_count: int) -> list[Any] | None:
    """An answer's entries, one for each row; None where it has not so many."""
    answer = json.loads(body)
    predictions = answer.get("predictions") if isinstance(answer, dict) else None
    if isinstance(predictions, dict):
        columns = list(predictions.values())
        if not columns or not all(isinstance(column, list) and len(column) == row_count for column in columns):
            return None
        return [dict(zip(predictions, row, strict=True)) for row in zip(*columns, strict=True)]
    return predictions if isinstance(predictions, list) and len(predictions) == row_count else None


def shifted(value: Any, step: int) -> Any:
    """The same with every number larger by ``step``."""
    if isinstance(value, dict):
        return {name: shifted(item, step) for name, item in value.items()}
    if isinstance(value, list):
        return [shifted(item, step) for item in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value + step if is_number else value


def leaves_of(value: Any) -> list[Any]:
    """Every value in a JSON document that holds no others."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves_of(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves_of(item)]
    return [value]
