"""An optional column of integers or booleans keeps its nulls and its exact integers, all the way and back."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor
from servery_worker.schema import Column, ColumnType, InvalidInput, Signature
from servery_worker.wire import Asked, MediaType, Outcome

LARGE = 2**53 + 1
OPTIONAL = (Column(ColumnType.STRING, "s", required=False), Column(ColumnType.LONG, "n", required=False))


def predictor_of(*columns: Column) -> Predictor:
    return Predictor("test", Loaded(lambda data, params: data, row_wise=False), Signature(inputs=columns))


def answer(body: Any, media_type: MediaType = MediaType.JSON, *columns: Column) -> tuple[Outcome, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    [(outcome, text, *_)], _ = predictor_of(*(columns or OPTIONAL)).answer([Asked(media_type, content)])
    return outcome, json.loads(text)["predictions"] if outcome is Outcome.OK else text.decode()


def parquet(table: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


ROWS = [{"s": "x", "n": LARGE}, {"s": "y", "n": None}]


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ({"dataframe_records": ROWS}, MediaType.JSON),
        ({"dataframe_records": [{"s": "x", "n": LARGE}, {"s": "y"}]}, MediaType.JSON),
        ({"dataframe_split": {"columns": ["n", "s"], "data": [[LARGE, "x"], [None, "y"]]}}, MediaType.JSON),
        ({"inputs": {"s": ["x", "y"], "n": [LARGE, None]}}, MediaType.JSON),
        ({"inputs": ROWS}, MediaType.JSON),
        ({"inputs": [{"s": "x", "n": LARGE}, {"s": "y"}]}, MediaType.JSON),
        ({"instances": ROWS}, MediaType.JSON),
        (f"s,n\nx,{LARGE}\ny,\n".encode(), MediaType.CSV),
        (parquet(pa.table({"s": ["x", "y"], "n": [LARGE, None]})), MediaType.PARQUET),
        (
            parquet(pa.Table.from_pandas(pd.DataFrame({"s": ["x", "y"], "n": pd.array([LARGE, None], "Int64")}))),
            MediaType.PARQUET,
        ),
    ],
    ids=str,
)
def test_a_null_among_large_integers_comes_back_as_it_was_sent(body: Any, media_type: MediaType) -> None:
    assert answer(body, media_type) == (Outcome.OK, ROWS)


@pytest.mark.parametrize(
    ("kind", "cells", "dtype"),
    [
        (ColumnType.INTEGER, [1, None], "Int32"),
        (ColumnType.LONG, [1, None], "Int64"),
        (ColumnType.LONG, [None, None], "Int64"),
        (ColumnType.BOOLEAN, [True, None], "boolean"),
        (ColumnType.INTEGER, [1, 2], "int32"),
        (ColumnType.LONG, [1, 2], "int64"),
        (ColumnType.BOOLEAN, [True, False], "bool"),
    ],
)
def test_the_model_gets_pandas_nullable_type_only_where_there_is_a_null(
    kind: ColumnType, cells: list[Any], dtype: str
) -> None:
    predictor = Predictor(
        "test",
        Loaded(lambda data, params: str(data["n"].dtype), row_wise=False),
        Signature(inputs=(Column(kind, "n", required=False),)),
    )
    for value in ({"inputs": {"n": cells}}, {"dataframe_records": [{"n": cell} for cell in cells]}):
        [(_, text, *_)], _ = predictor.answer([Asked(MediaType.JSON, json.dumps(value).encode())])
        assert json.loads(text) == {"predictions": dtype}


@pytest.mark.parametrize("value", [{"n": None}, {"n": None, "s": None}])
def test_a_single_null_is_a_row(value: Any) -> None:
    assert answer({"inputs": value})[0] is Outcome.OK


def test_a_required_column_refuses_null_as_mlflow_does() -> None:
    outcome, sentence = answer({"inputs": [1, None]}, MediaType.JSON, Column(ColumnType.LONG, "n"))
    assert (outcome, sentence) == (Outcome.BAD_REQUEST, "Column 'n': expected long, got null in row 1.")


def test_a_wrong_cell_next_to_a_null_is_named_with_its_row() -> None:
    outcome, sentence = answer({"dataframe_records": [{"n": None}, {"n": 1}, {"n": "x"}]})
    assert (outcome, sentence) == (Outcome.BAD_REQUEST, "Column 'n': expected long, got string 'x' in row 2.")


def test_a_frame_with_nulls_is_predicted_in_process() -> None:
    frame = pd.DataFrame({"n": pd.array([LARGE, None], dtype="Int64")})
    given = predictor_of(*OPTIONAL).predict(frame)
    assert str(given["n"].dtype) == "Int64"
    assert given["n"].tolist() == [LARGE, pd.NA]


def test_a_frame_with_nulls_is_refused_where_the_column_is_required() -> None:
    frame = pd.DataFrame({"n": pd.array([1, None], dtype="Int64")})
    with pytest.raises(InvalidInput):
        predictor_of(Column(ColumnType.LONG, "n")).predict(frame)
