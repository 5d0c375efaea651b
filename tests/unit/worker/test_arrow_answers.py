"""A model's output as an Arrow table or as Parquet."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from servery_worker.schema import Column, ColumnType, Tensor
from servery_worker.wire import AnswerType, Asked, MediaType, Outcome
from tests.unit.worker.arrow_bodies import answer, predictor_of, read

ASKED = Asked(MediaType.JSON, b'{"inputs": [1]}', 0, AnswerType.ARROW)


def answered(output: Any, *outputs: Column | Tensor) -> Any:
    reply = answer(predictor_of(lambda data, params: output, outputs=outputs), ASKED)
    assert reply.outcome is Outcome.OK, reply.body
    return read(reply.body)


def column(name: str) -> Column:
    return Column(ColumnType.LONG, name)


FRAME = pd.DataFrame({"label": ["a", None], "score": [0.5, 1.5]}, index=[7, 8])


@pytest.mark.parametrize(
    ("output", "columns", "kinds"),
    [
        pytest.param(FRAME, {"label": ["a", None], "score": [0.5, 1.5]}, ["large_string", "double"], id="frame"),
        pytest.param(pd.Series([1, 2], name="y"), {"y": [1, 2]}, ["int64"], id="series"),
        pytest.param(pd.Series([1, 2]), {"predictions": [1, 2]}, ["int64"], id="series without a name"),
        pytest.param(np.array([1.5, 2.5]), {"predictions": [1.5, 2.5]}, ["double"], id="numbers"),
        pytest.param(np.array(["a", "b"]), {"predictions": ["a", "b"]}, ["string"], id="array of texts"),
        pytest.param(
            np.array([[1, 2], [3, 4]]),
            {"predictions": [[1, 2], [3, 4]]},
            ["fixed_size_list<item: int64>[2]"],
            id="rows",
        ),
        pytest.param(
            np.zeros((1, 2, 1), np.float32),
            {"predictions": [[[0.0], [0.0]]]},
            ["fixed_size_list<item: fixed_size_list<item: float>[1]>[2]"],
            id="rows of rows",
        ),
        pytest.param(np.zeros((0, 2)), {"predictions": []}, ["fixed_size_list<item: double>[2]"], id="no rows"),
        pytest.param(
            {"x": np.array([1, 2]), "y": [[1.0], []]},
            {"x": [1, 2], "y": [[1.0], []]},
            ["int64", "list<item: double>"],
            id="dict of columns",
        ),
        pytest.param({"x": 1, "y": "a"}, {"x": [1], "y": ["a"]}, ["int64", "string"], id="dict of single values"),
        pytest.param(["a", "b"], {"predictions": ["a", "b"]}, ["string"], id="list of texts"),
        pytest.param([{"x": 1}, {"y": 2}], {"x": [1, None], "y": [None, 2]}, ["int64", "int64"], id="list of records"),
        pytest.param("text", {"predictions": ["text"]}, ["string"], id="text"),
        pytest.param(np.float64(1.5), {"predictions": [1.5]}, ["double"], id="number"),
        pytest.param(pa.table({"x": [1]}), {"x": [1]}, ["int64"], id="a table itself"),
    ],
)
def test_an_output_is_a_table(output: Any, columns: dict[str, Any], kinds: list[str]) -> None:
    table = answered(output)
    assert table.to_pydict() == columns
    assert list(map(str, table.schema.types)) == kinds


def test_the_signature_names_the_columns() -> None:
    assert answered(np.array([1, 2]), column("price")).column_names == ["price"]
    assert answered(np.array([[1, 2]]), column("low"), column("high")).to_pydict() == {"low": [1], "high": [2]}
    assert answered(np.array([[1, 2]]), Tensor("int64", (-1, 2))).to_pydict() == {"predictions": [[1, 2]]}


def test_the_signature_gives_a_type_to_a_column_of_nulls() -> None:
    table = answered(pd.DataFrame({"n": [None, None]}), Column(ColumnType.STRING, "n", False))
    assert str(table.schema.field("n").type) == "string"


def test_a_frames_names_may_be_there_twice_or_be_numbers() -> None:
    assert answered(pd.DataFrame([[1, 2]], columns=["a", "a"])).column_names == ["a", "a"]
    assert answered(pd.DataFrame([[1, 2]])).column_names == ["0", "1"]


def test_an_array_without_gaps_is_not_copied() -> None:
    from servery_worker.codecs.arrow_answers import table_of_output

    values = np.arange(6.0).reshape(3, 2)
    flat = table_of_output(values).column(0).chunk(0).flatten().to_numpy()
    assert np.shares_memory(values, flat)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (object(), "'predictions' is no column of one type: object: did not recognize Python value type"),
        ([1, "a"], "'predictions' is no column of one type: str: tried to convert to int64"),
        (pd.DataFrame({"x": [1, "a"]}), "'x' is no column of one type: str: tried to convert to int64"),
        (np.array([1j]), "'predictions' is no column of one type: "),
        ({"x": [1], "y": [1, 2]}, "its columns have different lengths: 'x' has 1, 'y' has 2."),
        ({"x": [1, 2], "y": 1}, "'y' is a single value beside columns."),
    ],
)
@pytest.mark.parametrize("answer_type", [AnswerType.ARROW, AnswerType.PARQUET], ids=lambda kind: kind.name)
def test_an_output_without_a_form_as_a_table_says_so(output: Any, reason: str, answer_type: AnswerType) -> None:
    reply = answer(predictor_of(lambda data, params: output), ASKED._replace(answer_type=answer_type))
    assert reply.outcome is Outcome.UNENCODABLE
    assert reply.body.decode().startswith(
        f"The model's answer cannot be written in the form that was asked for: {reason}"
    )


def test_parquet_is_the_same_table() -> None:
    reply = answer(predictor_of(lambda data, params: FRAME), ASKED._replace(answer_type=AnswerType.PARQUET))
    pd.testing.assert_frame_equal(pq.read_table(io.BytesIO(reply.body)).to_pandas(), FRAME.reset_index(drop=True))


def test_requests_that_are_predicted_together_get_their_own_rows() -> None:
    asked = [ASKED._replace(body=b'{"inputs": [[%d, 0]]}' % number) for number in range(3)]
    replies, _ = predictor_of(lambda data, params: {"x": data[:, 0]}, [Tensor("int64", (-1, 2))], row_wise=True).answer(
        [*asked, asked[0]._replace(answer_type=AnswerType.JSON)]
    )
    assert [read(reply.body).to_pydict() for reply in replies[:3]] == [{"x": [0]}, {"x": [1]}, {"x": [2]}]
    assert replies[3].body == b'{"predictions":{"x":[0]}}'
