"""The cells of a table as they were sent, by column: what pandas makes of them is not always what they were.

A column of integers with a null, for one, is a column of floats to pandas, and large integers are not themselves in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from servery_worker.codecs.bodies import Body, Form

Columns = Mapping[Any, Sequence[Any]]


def columns_of(body: Body) -> Columns:
    """The cells of each column by its name, or by its place where it has none; empty where the body is no table."""
    value = body.value
    if body.form is Form.SPLIT:
        return columns_of_rows(value["data"], value.get("columns"))
    if body.form is Form.RECORDS or isinstance(value, list):
        return columns_of_rows(value, None)
    if isinstance(value, dict):
        return {name: cells if isinstance(cells, list) else [cells] for name, cells in value.items()}
    return {0: [value]}


def columns_of_rows(rows: Any, names: Sequence[Any] | None) -> Columns:
    """As ``columns_of``, for rows that are lists, objects or single cells, or an object with the columns."""
    if isinstance(rows, dict):
        return {name: cells for name, cells in rows.items() if isinstance(cells, list)}
    if not isinstance(rows, list) or not rows:
        return {}
    if all(isinstance(row, dict) for row in rows):
        found = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in found}
    lists = [row if isinstance(row, list) else [row] for row in rows]
    width = max(map(len, lists))
    labels = range(width) if names is None else names
    return {name: [row[place] if place < len(row) else None for row in lists] for place, name in enumerate(labels)}
