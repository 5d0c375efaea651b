"""The fast way from the rows of many requests to one input.

A table of plain cells, each of just the type that its column wants, needs none of pandas' inference and none of the
checks that ``enforcement`` does: rows of any number of requests become one array, and one frame around it. What it
builds equals what ``frames``, ``values`` and ``enforcement`` build for each request alone. Whatever does not fit
(a null in a column of integers, text where a number belongs) goes that long way, by itself, and is refused there with
a sentence. So a request is never read otherwise for having neighbours; whether it may be predicted among them is for
``proof`` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from servery_worker.codecs.tables import Table
from servery_worker.schema import Column, ColumnType, Specs, Tensor

_CELLS: dict[ColumnType, frozenset[type]] = {
    ColumnType.DOUBLE: frozenset((float, int, bool, type(None))),
    ColumnType.FLOAT: frozenset((float, int)),
    ColumnType.LONG: frozenset((int,)),
    ColumnType.INTEGER: frozenset((int,)),
    ColumnType.BOOLEAN: frozenset((bool,)),
    ColumnType.STRING: frozenset((str,)),
}
"""The cells whose form in a column is the same whatever their neighbours are."""
_INFERRED = {float: ColumnType.DOUBLE, int: ColumnType.LONG, bool: ColumnType.BOOLEAN, str: ColumnType.STRING}
_TENSOR_KINDS = {
    "float64": ColumnType.DOUBLE,
    "float32": ColumnType.FLOAT,
    "int64": ColumnType.LONG,
    "int32": ColumnType.INTEGER,
    "bool": ColumnType.BOOLEAN,
}
_LAYOUTS_MAX = 256
_KINDS_MAX = 1024
_EXACT_MAX = 2.0**53
"""The largest integer up to which every one is a float64."""
_LONG_END = 2.0**63


class Irregular(Exception):
    """Rows that must go the long way after all."""


class _Target(NamedTuple):
    """A column that the model gets."""

    name: Any
    position: int
    """Where it is in a row."""
    kind: ColumnType
    cells: frozenset[type]
    """The types of cells that it takes."""


def _text_index(index: Any) -> Any:
    """The same labels of the same dtype, held as Python's own text.

    Frameworks walk the column names at every predict, and pandas takes ten times as long to give them out one by one
    where pyarrow holds them.
    """
    import pandas as pd

    dtype = index.dtype
    if getattr(dtype, "storage", None) != "pyarrow":
        return index
    return index.astype(pd.StringDtype("python", na_value=dtype.na_value))


def _index_of(names: Sequence[Any]) -> Any:
    import pandas as pd

    is_range = list(names) == list(range(len(names)))
    return pd.RangeIndex(len(names)) if is_range else _text_index(pd.Index(names))


class Layout:
    """How rows with one list of columns become the model's input."""

    def __init__(
        self, targets: Sequence[_Target], width: int, *, as_array: bool = False, is_inferred: bool = False
    ) -> None:
        positions = [target.position for target in targets]
        kinds = {target.kind for target in targets}
        self._places = {kind: [i for i, target in enumerate(targets) if target.kind is kind] for kind in kinds}
        self._index: Any = None if as_array else _index_of([target.name for target in targets])
        self._as_array = as_array
        self._is_inferred = is_inferred
        self._pick = None if positions == list(range(width)) else _picker(positions)
        self._kind = next(iter(kinds)) if len(kinds) == 1 and ColumnType.STRING not in kinds else None
        self._allowed: list[frozenset[type] | None] = [None] * width
        for target in targets:
            self._allowed[target.position] = target.cells
        self._seen: set[tuple[type, ...]] = set()

    def takes(self, rows: Sequence[Any]) -> bool:
        """Is every cell of the type that its column wants?"""
        seen = self._seen
        for row in rows:
            if type(row) is not list:
                return False
            kinds = tuple(map(type, row))
            if kinds not in seen and not self._learns(kinds):
                return False
        return True

    def _learns(self, kinds: tuple[type, ...]) -> bool:
        if len(kinds) != len(self._allowed):
            return False
        if not all(allowed is None or kind in allowed for kind, allowed in zip(kinds, self._allowed)):
            return False
        if len(self._seen) < _KINDS_MAX:
            self._seen.add(kinds)
        return True

    def build(self, rows: Sequence[Any]) -> Any:
        """One frame, or one array where the signature is a tensor.

        Raises:
            Irregular: an integer is too large for its column.
        """
        if self._pick is not None:
            rows = list(map(self._pick, rows))
        if self._as_array and self._kind is not None:
            return self._array(rows, self._kind)
        import pandas as pd

        if self._kind is not None:
            # A view of the names: a model that renames an index must not rename it for the next request.
            return pd.DataFrame(self._array(rows, self._kind), columns=self._index.view(), copy=False)
        frame = pd.DataFrame(self._columns(rows), copy=False)
        frame.columns = self._index.view()
        return frame

    def _columns(self, rows: Sequence[Any]) -> dict[int, Any]:
        """An array for each column, by its place; those of one type are made at once."""
        cells = list(zip(*rows))
        columns: dict[int, Any] = {}
        for kind, places in self._places.items():
            together = [cells[place] for place in places]
            columns.update(zip(places, _texts(together) if kind is ColumnType.STRING else self._array(together, kind)))
        return {place: columns[place] for place in range(len(cells))}

    def _array(self, cells: Sequence[Any], kind: ColumnType) -> Any:
        import numpy as np

        array = _array(cells, kind)
        if self._is_inferred and kind is ColumnType.DOUBLE and (np.abs(array) >= _LONG_END).any():
            raise Irregular  # It may have been written as an integer, and pandas would keep it as one.
        return array


def _picker(positions: Sequence[int]) -> Callable[[Any], Any]:
    if len(positions) == 1:
        only = positions[0]
        return lambda row: (row[only],)
    return itemgetter(*positions)


def _texts(columns: Sequence[Sequence[str]]) -> list[Any]:
    import pandas as pd

    if len(columns) == 1:
        return [list(columns[0])]
    # pandas takes long to make a column of its own string type, so one is made and cut.
    made, length = pd.Series([cell for column in columns for cell in column]).array, len(columns[0])
    return [made[start : start + length] for start in range(0, len(made), length)]


def _array(cells: Sequence[Any], kind: ColumnType) -> Any:
    import numpy as np

    if kind is ColumnType.DOUBLE:
        return np.array(cells, np.float64)
    if kind is ColumnType.FLOAT:
        array = np.array(cells, np.float64)
        if (np.abs(array) > _EXACT_MAX).any():
            raise Irregular  # Such an integer would be rounded twice.
        return array.astype(np.float32)
    array = np.array(cells)
    if kind is ColumnType.BOOLEAN:
        return array
    if array.dtype != np.int64:
        raise Irregular
    if kind is ColumnType.INTEGER:
        narrow = array.astype(np.int32)
        if (narrow != array).any():
            raise Irregular
        return narrow
    return array


class Layouts:
    """The layouts that a model has met, by the columns of a table."""

    def __init__(self, specs: Specs | None) -> None:
        self._specs = specs
        self._known: dict[Any, Layout | None] = {}
        self._kept: dict[Any, Layout | None] = {}

    def keep(self) -> None:
        """Those that are known now stay the same objects, whatever else is met."""
        self._kept = dict(self._known)

    def of(self, table: Table) -> Layout | None:
        """The layout that takes this table; None when it must go the long way."""
        rows = table.rows
        if not rows or type(rows[0]) is not list or not rows[0]:
            return None
        key: Any = len(rows[0]) if table.columns is None else tuple(table.columns)
        if not self._specs:
            key = (key, tuple(map(type, rows[0])))
        try:
            layout = self._known[key]
        except KeyError:
            if len(self._known) >= _LAYOUTS_MAX:
                self._known = dict(self._kept)
            layout = self._known[key] = self._make(table)
        except TypeError:  # Column names that are lists.
            return None
        return layout if layout is not None and layout.takes(rows) else None

    def _make(self, table: Table) -> Layout | None:
        width = len(table.rows[0])
        names: Sequence[Any] = range(width) if table.columns is None else table.columns
        is_named = table.columns is not None
        if len(names) != width or len(set(names)) != width or (is_named and not all(type(n) is str for n in names)):
            return None
        if not self._specs:
            inferred = [(type(cell), _INFERRED.get(type(cell))) for cell in table.rows[0]]
            targets = [
                _Target(name, position, kind, frozenset((cell,)))
                for position, (name, (cell, kind)) in enumerate(zip(names, inferred))
                if kind is not None
            ]
            return _layout(targets, width, width, is_inferred=True)
        if isinstance(self._specs[0], Tensor):
            return _tensor_layout(self._specs[0], names)
        return _column_layout([spec for spec in self._specs if isinstance(spec, Column)], names)


def _layout(targets: Sequence[_Target], count: int, width: int, *, is_inferred: bool = False) -> Layout | None:
    """None unless all of ``count`` columns are of a type that has a fast way."""
    return Layout(targets, width, is_inferred=is_inferred) if targets and len(targets) == count else None


def _tensor_layout(tensor: Tensor, names: Sequence[Any]) -> Layout | None:
    kind, width = _TENSOR_KINDS.get(tensor.dtype), len(names)
    if kind is None or tensor.name is not None or width < 2 or tensor.shape != (-1, width):
        return None
    return Layout([_Target(name, index, kind, _CELLS[kind]) for index, name in enumerate(names)], width, as_array=True)


def _column_layout(columns: Sequence[Column], names: Sequence[Any]) -> Layout | None:
    if columns[0].name is None:
        wanted = list(zip(names, range(len(names)), columns))
        count = len(columns)
    else:
        places = {name: index for index, name in enumerate(names)}
        wanted = [(column.name, places[column.name], column) for column in columns if column.name in places]
        count = len(wanted) + sum(column.required and column.name not in places for column in columns)
    targets = [
        _Target(name, index, column.type, _CELLS[column.type])
        for name, index, column in wanted
        if column.type in _CELLS
    ]
    return _layout(targets, count, len(names))
