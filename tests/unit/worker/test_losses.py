"""Values that a column can only take with loss are taken as MLflow takes them, and told; or refused, where asked."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pandas as pd
import pytest

from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor
from servery_worker.schema import Column, ColumnType, Signature, Specs, Tensor
from servery_worker.wire import COERCED_NAMES_MAX, Asked, MediaType, Options, Outcome

BOOLEAN, INTEGER, LONG, FLOAT = ColumnType.BOOLEAN, ColumnType.INTEGER, ColumnType.LONG, ColumnType.FLOAT
DOUBLE, STRING, BINARY, DATETIME = ColumnType.DOUBLE, ColumnType.STRING, ColumnType.BINARY, ColumnType.DATETIME


def answer(specs: Specs, body: Any, options: int = 0) -> tuple[Outcome, str, tuple[str, ...]]:
    loaded = Loaded(lambda data, params: repr(data), row_wise=False)
    predictor = Predictor("test", loaded, Signature(inputs=specs))
    [(outcome, text, coerced, _)], _ = predictor.answer([Asked(MediaType.JSON, json.dumps(body).encode(), options)])
    return outcome, text.decode(), coerced


def split(*cells: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": ["a"], "data": [[cell] for cell in cells]}}


LOSSES: list[tuple[ColumnType, Any]] = [
    (LONG, 1.5),
    (LONG, 2**63),
    (INTEGER, 2**31),
    (INTEGER, -1.25),
    (BOOLEAN, 2),
    (BOOLEAN, 0.5),
    (BOOLEAN, "false"),
    (BOOLEAN, None),
    (BOOLEAN, [0]),
    (FLOAT, 1e39),
    (BINARY, "aG!k="),
    (DATETIME, "2024-01-02T03:04:05.1234567891"),
    (DATETIME, 1.5),
]

NO_LOSSES: list[tuple[ColumnType, Any]] = [
    (LONG, 2.0),
    (LONG, True),
    (LONG, "7"),
    (LONG, 2**53 + 1),
    (BOOLEAN, 1),
    (BOOLEAN, 0.0),
    (FLOAT, 0.1),
    (FLOAT, 16777217),
    (FLOAT, None),
    (FLOAT, "1.5"),
    (DOUBLE, 2**53 + 1),
    (DOUBLE, 2**70),
    (DOUBLE, "2.5"),
    (STRING, 5),
    (STRING, None),
    (BINARY, "aG\nk=\n"),
    (DATETIME, "2024-01-02T03:04:05.123456789000"),
    (DATETIME, None),
    (DATETIME, 1704164645000000000),
]


@pytest.mark.parametrize(("kind", "cell"), LOSSES, ids=str)
def test_a_value_that_changes_is_taken_and_told(kind: ColumnType, cell: Any) -> None:
    outcome, _, coerced = answer((Column(kind, "a"),), split(cell))
    assert (outcome, coerced) == (Outcome.OK, ("a",))


@pytest.mark.parametrize(("kind", "cell"), LOSSES, ids=str)
def test_a_value_that_changes_is_refused_where_that_is_asked(kind: ColumnType, cell: Any) -> None:
    outcome, sentence, _ = answer((Column(kind, "a"),), split(cell), Options.STRICT)
    assert outcome is Outcome.INVALID_INPUT
    assert sentence.startswith("Column 'a': ")
    assert sentence.endswith(f" in row 0 can only become {kind.value} with loss, which is refused here.")


@pytest.mark.parametrize(("kind", "cell"), NO_LOSSES, ids=str)
def test_a_value_that_keeps_its_meaning_is_no_loss(kind: ColumnType, cell: Any) -> None:
    outcome, _, coerced = answer((Column(kind, "a"),), split(cell), Options.STRICT)
    assert (outcome, coerced) == (Outcome.OK, ())


@pytest.mark.parametrize(
    "body",
    [
        split(1, 2.5),
        {"dataframe_records": [{"a": 1}, {"a": 2.5}]},
        {"dataframe_split": {"data": {"a": [1, 2.5]}}},
        {"inputs": {"a": [1, 2.5]}},
        {"inputs": [{"a": 1}, {"a": 2.5}]},
        {"inputs": [1, 2.5]},
        {"instances": [{"a": 1}, {"a": 2.5}]},
        {"instances": [1, 2.5]},
    ],
    ids=json.dumps,
)
def test_a_loss_is_found_in_every_form_with_its_row(body: Any) -> None:
    specs = (Column(LONG, "a"),)
    assert answer(specs, body)[2] == ("a",)
    assert "number 2.5 in row 1" in answer(specs, body, Options.STRICT)[1]


def test_a_large_integer_that_its_neighbour_makes_a_float_of_is_a_loss() -> None:
    assert "number 9007199254740993 in row 1" in answer((Column(LONG, "a"),), split(1.0, 2**53 + 1), Options.STRICT)[1]


@pytest.mark.parametrize(
    ("tensor", "body", "name"),
    [
        (Tensor("int64", (-1, 2)), {"inputs": [[1, 2], [3, 4.5]]}, "input"),
        (Tensor("int64", (-1, 2)), {"dataframe_split": {"data": [[1, 2], [3, 4.5]]}}, "input"),
        (Tensor("int64", (-1, 2)), {"dataframe_split": {"columns": ["r"], "data": [[[1, 2]], [[3, 4.5]]]}}, "input"),
        (Tensor("int64", (-1, 2), "x"), {"inputs": {"x": [[1, 2], [3, 4.5]]}}, "x"),
        (Tensor("bool", (-1,)), {"inputs": [0, 4.5]}, "input"),
        (Tensor("float16", (-1,)), {"inputs": [1, 1e30]}, "input"),
    ],
    ids=str,
)
def test_a_loss_in_an_array_is_found(tensor: Tensor, body: Any, name: str) -> None:
    assert answer((tensor,), body)[2] == (name,)
    outcome, sentence, _ = answer((tensor,), body, Options.STRICT)
    assert outcome is Outcome.INVALID_INPUT
    assert sentence.endswith(f"in row 1 can only become {tensor.dtype} with loss, which is refused here.")


def test_a_loss_deep_in_a_cell_is_found() -> None:
    place = Column(ColumnType.OBJECT, "place", detail={"properties": {"tags": {"type": "array", "items": FLAG}}})
    body = {"dataframe_records": [{"place": {"tags": [True, None]}}]}
    assert answer((place,), body)[2] == ("place",)


FLAG = {"type": "boolean"}


def test_not_more_than_some_names_are_told() -> None:
    specs = tuple(Column(LONG, f"c{index}") for index in range(30))
    body = {"dataframe_records": [{f"c{index}": 0.5 for index in range(30)}]}
    assert answer(specs, body)[2] == tuple(f"c{index}" for index in range(COERCED_NAMES_MAX))


def test_a_neighbour_in_the_batch_neither_hides_nor_shares_a_loss() -> None:
    loaded = Loaded(lambda data, params: data["a"].tolist(), row_wise=True)
    predictor = Predictor("test", loaded, Signature(inputs=(Column(LONG, "a"),)))
    bodies = [json.dumps(split(cell)).encode() for cell in (1, 1.5, 2)]
    given, _ = predictor.answer([Asked(MediaType.JSON, body) for body in bodies])
    assert [reply.coerced for reply in given] == [(), ("a",), ()]


@pytest.mark.parametrize(("options", "text"), [(0, "[null,null,null]"), (Options.BARE_NAN, "[NaN,Infinity,-Infinity]")])
def test_nan_is_null_or_mlflows_bare_word_where_that_is_asked(options: int, text: str) -> None:
    loaded = Loaded(lambda data, params: [float("nan"), float("inf"), float("-inf")], row_wise=False)
    [(outcome, body, *_)], _ = Predictor("test", loaded, None).answer(
        [Asked(MediaType.JSON, b'{"inputs": [1]}', options)]
    )
    assert (outcome, body.decode()) == (Outcome.OK, '{"predictions":' + text + "}")


def csv_answer(specs: Specs, text: str, options: int = 0) -> tuple[Outcome, str, tuple[str, ...]]:
    predictor = Predictor("test", Loaded(lambda data, _: data, row_wise=None), Signature(inputs=specs))
    [(outcome, body, coerced, _)], _ = predictor.answer([Asked(MediaType.CSV, text.encode(), options)])
    return outcome, body.decode(), coerced


def parquet_answer(specs: Specs, values: list[Any], options: int = 0) -> tuple[Outcome, str, tuple[str, ...]]:
    predictor = Predictor("test", Loaded(lambda data, _: data, row_wise=None), Signature(inputs=specs))
    table = io.BytesIO()
    pd.DataFrame({"a": values}).to_parquet(table)
    [(outcome, body, coerced, _)], _ = predictor.answer([Asked(MediaType.PARQUET, table.getvalue(), options)])
    return outcome, body.decode(), coerced


@pytest.mark.parametrize(
    ("dtype", "text"),
    [("uint8", "a,b\n300,-1\n"), ("int64", "a,b\n1.9,2\n"), ("bool", "a,b\n5,0\n"), ("int32", "a,b\n4294967297,1\n")],
)
def test_csv_that_would_change_in_an_array_is_refused(dtype: str, text: str) -> None:
    outcome, sentence, _ = csv_answer((Tensor(dtype, (-1, 2)),), text)
    assert outcome is Outcome.BAD_REQUEST
    assert f"in row 0 is no {dtype}" in sentence or "within" in sentence


def test_csv_that_fits_an_array_is_taken() -> None:
    assert csv_answer((Tensor("uint8", (-1, 2)),), "a,b\n200,1\n")[:2] == (Outcome.OK, '{"predictions":[[200,1]]}')
    assert csv_answer((Tensor("float32", (-1, 2)),), "a,b\n0.5,1\n")[:2] == (Outcome.OK, '{"predictions":[[0.5,1.0]]}')


def test_a_number_of_csv_that_is_too_large_for_its_column_is_told_or_refused() -> None:
    specs = (Column(ColumnType.FLOAT, "a"),)
    assert csv_answer(specs, "a\n1\n1e39\n")[2] == ("a",)
    assert csv_answer(specs, "a\n1\ninf\n")[2] == ()
    outcome, sentence, _ = csv_answer(specs, "a\n1\n1e39\n", Options.STRICT)
    assert outcome is Outcome.INVALID_INPUT
    assert "Column 'a': string '1e39' in row 1 can only become float with loss" in sentence


@pytest.mark.parametrize(
    ("dtype", "value"), [("int64", 1.9), ("uint8", 300), ("int32", 2**32 + 1), ("float32", 1e39)], ids=str
)
def test_a_loss_in_an_array_that_came_as_parquet_is_told_or_refused(dtype: str, value: Any) -> None:
    outcome, _, coerced = parquet_answer((Tensor(dtype, (-1,)),), [value])
    assert (outcome, coerced) == (Outcome.OK, ("input",))
    assert parquet_answer((Tensor(dtype, (-1,)),), [value], Options.STRICT)[0] is Outcome.INVALID_INPUT
    assert parquet_answer((Tensor(dtype, (-1,)),), [1])[2] == ()


@pytest.mark.parametrize("kind", [ColumnType.DOUBLE, ColumnType.FLOAT])
def test_text_of_a_number_that_is_too_large_is_infinite_and_told(kind: ColumnType) -> None:
    assert answer((Column(kind, "a"),), {"dataframe_records": [{"a": "1e400"}]})[::2] == (Outcome.OK, ("a",))


@pytest.mark.parametrize("options", [0, Options.BARE_NAN])
def test_what_is_written_is_written_with_bare_nan_too(options: int) -> None:
    made = {uuid.UUID(int=1): [uuid.UUID(int=2), Outcome.BAD_REQUEST]}
    predictor = Predictor("test", Loaded(lambda data, params: made, row_wise=False), Signature())
    [(outcome, body, *_)], _ = predictor.answer([Asked(MediaType.JSON, b'{"inputs": [1]}', options)])
    assert outcome is Outcome.OK
    assert json.loads(body)["predictions"] == {str(uuid.UUID(int=1)): [str(uuid.UUID(int=2)), 1]}
