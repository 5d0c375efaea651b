"""A request gets the answer that it gets alone, whoever its neighbours are; and alone, the answer of the long way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor
from servery_worker.schema import Column, ColumnType, InvalidInput, Signature, Specs, Tensor
from servery_worker.wire import Asked, MediaType

INTEGERS = st.integers(-3, 3) | st.sampled_from([2**31, -(2**31) - 1, 2**53 + 1, 2**60 + 1, 2**63, 2**64, 2**70])
CELLS: dict[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.DOUBLE: st.floats(allow_nan=False, allow_infinity=False) | INTEGERS,
    ColumnType.FLOAT: st.floats(-4, 4) | INTEGERS,
    ColumnType.LONG: INTEGERS,
    ColumnType.INTEGER: INTEGERS,
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.STRING: st.text("ab0é", max_size=3),
}
ODD = st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(-2, 2), st.sampled_from(["", "x", "1", "1.5", [1], {}]))
NAMES = ["a", "b", "c"]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Specs | None, list[dict[str, Any]]]:
    """A signature or none, and bodies of tables that fit it more or less."""
    kinds = draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, max_size=3))
    columns = [Column(kind, name, draw(st.booleans())) for kind, name in zip(kinds, NAMES, strict=False)]
    unnamed = draw(st.booleans()) and len(kinds) > 1
    specs: Specs | None = tuple(Column(column.type) if unnamed else column for column in columns)
    if draw(st.integers(0, 3)) == 0:
        specs = None
    elif draw(st.integers(0, 4)) == 0:
        specs = (Tensor(draw(st.sampled_from(["float64", "float32", "int64", "bool"])), (-1, len(kinds))),)
    count = draw(st.integers(1, 5))
    return specs, [draw(bodies(columns)) for _ in range(count)]


@st.composite
def bodies(draw: st.DrawFn, columns: list[Column]) -> dict[str, Any]:
    def cell(column: Column) -> Any:
        return draw(ODD if draw(st.integers(0, 9)) == 0 else CELLS[column.type])

    if draw(st.integers(0, 4)) == 0:
        columns = [*columns, Column(ColumnType.DOUBLE, "extra")]
    if draw(st.integers(0, 4)) == 0:
        columns = list(reversed(columns))
    names = [column.name for column in columns]
    rows = [[cell(column) for column in columns] for _ in range(draw(st.integers(1, 3)))]
    form = draw(st.sampled_from(["split", "unnamed", "records", "columns", "rows", "cells", "objects", "one"]))
    records = [dict(zip(names, row, strict=True)) for row in rows]
    forms: dict[str, dict[str, Any]] = {
        "split": {"dataframe_split": {"columns": names, "data": rows}},
        "unnamed": {"dataframe_split": {"data": rows}},
        "records": {"dataframe_records": records},
        "columns": {"inputs": {name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}},
        "rows": {"inputs": rows},
        "cells": {"inputs": [row[0] for row in rows]},
        "objects": {"instances": records},
        "one": {"inputs": records[0]},
    }
    return forms[form]


def describe(data: Any, params: Any) -> Any:
    """An entry for each row, that says all a model could see of it."""
    if isinstance(data, pd.DataFrame):
        head = f"{list(data.columns)} {list(map(str, data.dtypes))} "
        return [head + repr([(type(cell), cell) for cell in row]) for row in data.itertuples(index=False, name=None)]
    if isinstance(data, np.ndarray) and data.ndim:
        kind = "U" if data.dtype.kind == "U" else str(data.dtype)
        return [f"{kind} {row.tolist()!r}" for row in data]
    return repr(data)


@settings(max_examples=100, deadline=None)
@given(tables())
def test_a_request_is_answered_among_others_as_alone(case: tuple[Specs | None, list[dict[str, Any]]]) -> None:
    specs, values = case
    requests = [Asked(MediaType.JSON, json.dumps(value).encode()) for value in values]
    together, _ = Predictor("test", Loaded(describe, row_wise=True), Signature(inputs=specs)).answer(requests)
    fresh = Predictor("test", Loaded(describe, row_wise=True), Signature(inputs=specs))
    apart = [fresh.answer([request])[0][0] for request in requests]
    assert together == apart


@settings(max_examples=100, deadline=None)
@given(tables())
def test_the_fast_way_gives_the_model_what_the_long_way_gives(
    case: tuple[Specs | None, list[dict[str, Any]]],
) -> None:
    specs, values = case
    predictor = Predictor("test", Loaded(describe, row_wise=True), Signature(inputs=specs))
    for value in values:
        try:
            call = predictor.read(Asked(MediaType.JSON, json.dumps(value).encode()))
        except (InvalidInput, ValueError):
            continue
        if call.layout is None:
            continue
        try:
            fast = call.layout.build(call.rows)
        except Exception:  # Sent the long way.
            continue
        slow = predictor._reader.slowly(call.body, 0, batchable=True).data
        assert type(fast) is type(slow)
        if isinstance(fast, pd.DataFrame):
            # The names are of the same dtype; only what holds them differs.
            assert str(fast.columns.dtype) == str(slow.columns.dtype)
            pd.testing.assert_frame_equal(fast, slow, check_column_type=False, check_exact=True)
        else:
            np.testing.assert_array_equal(fast, slow, strict=True)
