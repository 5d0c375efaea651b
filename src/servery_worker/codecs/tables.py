"""Is a body a table of plain cells? Then its rows, still unchecked, whatever form it came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from servery_worker.codecs.bodies import Body, Form
from servery_worker.schema import Column, ColumnType, Specs

_BY_CELL = frozenset((ColumnType.DOUBLE, ColumnType.LONG, ColumnType.BOOLEAN, ColumnType.STRING))
"""Types that pandas infers back from single numpy values; MLflow refuses the others in a list of objects."""

_ONE_ROW = (ColumnType.ARRAY, ColumnType.OBJECT)
"""Where the signature has such a column, an object is one row, not an object of columns; instances become an object."""


class Table(NamedTuple):
    """Rows of cells as they came. ``columns`` is None where they have no names."""

    columns: Sequence[Any] | None
    rows: list[Any]


def table_of(body: Body, specs: Specs | None, *, drop_index: bool) -> Table | None:
    """The table that a body is, or None when it is none, or one that has to go the long way.

    ``drop_index`` says that the model cannot see the rows' labels; else only labels 0, 1, 2… may be left out.
    """
    if body.form is Form.SPLIT:
        return _of_split(body.value, drop_index)
    if body.form is Form.RECORDS:
        return _of_records(body.value)
    if body.form not in (Form.INPUTS, Form.INSTANCES) or not specs:
        return None
    columns = [spec for spec in specs if isinstance(spec, Column)]
    if not columns:
        return Table(None, body.value) if type(body.value) is list else None
    if columns[0].name is None:
        return _of_unnamed(body.value, columns)
    return _of_named(body.value, columns, is_inputs=body.form is Form.INPUTS)


def _of_split(value: Any, drop_index: bool) -> Table | None:
    if type(value) is not dict:
        return None
    rows = value.get("data")
    if type(rows) is not list:
        return None
    if len(value) != 1 + ("columns" in value):
        index = value.get("index")
        if len(value) != 2 + ("columns" in value) or type(index) is not list or len(index) != len(rows):
            return None
        if not drop_index and index != list(range(len(rows))):
            return None
    columns = value.get("columns")
    return Table(columns, rows) if columns is None or type(columns) is list else None


def _of_records(value: Any) -> Table | None:
    if type(value) is not list or not value or type(value[0]) is not dict:
        return None
    columns = list(value[0])
    rows = []
    for record in value:
        if type(record) is not dict or list(record) != columns:
            return None
        rows.append(list(record.values()))
    return Table(columns, rows)


def _of_unnamed(value: Any, columns: Sequence[Column]) -> Table | None:
    if type(value) is not list or not value or any(column.type is not columns[0].type for column in columns):
        return None
    if type(value[0]) is not list:
        return Table(None, [[cell] for cell in value])
    # What is too much in a row has to be of the type too, before it is left out.
    return Table(None, value) if len(value[0]) == len(columns) else None


def _of_named(value: Any, columns: Sequence[Column], *, is_inputs: bool) -> Table | None:
    by_cell = all(column.type in _BY_CELL for column in columns)
    table: Table | None
    if any(column.type in _ONE_ROW for column in columns) and (type(value) is dict or not is_inputs):
        return None
    if type(value) is dict:
        cells = list(value.values())
        if cells and all(type(cell) is list and len(cell) == len(cells[0]) for cell in cells):
            table = Table(list(value), list(map(list, zip(*cells))))
        else:
            table = Table(list(value), [cells]) if by_cell else None
    elif type(value) is not list or not value:
        return None
    elif type(value[0]) is dict:
        table = _of_records(value) if by_cell or not is_inputs else None
    else:
        return Table([columns[0].name], [[cell] for cell in value]) if len(columns) == 1 else None
    # A column that the signature does not know has to be an array of some kind too, before it is left out.
    known = {column.name for column in columns}
    return table if table is not None and known.issuperset(table.columns or ()) else None
