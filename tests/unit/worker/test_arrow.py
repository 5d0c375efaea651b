"""Arrow bodies, and Parquet's beside them: what a model is given for each type of a signature, and what is refused."""

from __future__ import annotations

import datetime
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from servery_worker.codecs import arrow
from servery_worker.codecs.arrow import own_memory
from servery_worker.enforcement import enforce
from servery_worker.schema import Column, ColumnType, Tensor
from servery_worker.wire import AnswerType, Asked, MediaType, Options, Outcome
from tests.unit.worker.arrow_bodies import (
    BODIES,
    Kept,
    answer,
    given,
    parquet,
    predictor_of,
    read,
    refusal,
    stream,
)

BOTH = pytest.mark.parametrize("media_type", list(BODIES), ids=lambda media_type: media_type.name)
OPTIONAL = {"required": False}

SCALARS = {
    ColumnType.BOOLEAN: pa.array([True, False]),
    ColumnType.INTEGER: pa.array([1, -(2**31)], pa.int32()),
    ColumnType.LONG: pa.array([1, 2**60 + 1]),
    ColumnType.FLOAT: pa.array([0.5, float("nan")], pa.float32()),
    ColumnType.DOUBLE: pa.array([0.1, float("-inf")]),
    ColumnType.STRING: pa.array(["x", "größe"]),
    ColumnType.BINARY: pa.array([b"x", b"\xff\x00"]),
    ColumnType.DATETIME: pa.array([1, 2**60], pa.timestamp("ns")),
}


@BOTH
@pytest.mark.parametrize("kind", list(SCALARS), ids=lambda kind: kind.value)
def test_a_scalar_column_is_what_pandas_makes_of_it(kind: ColumnType, media_type: MediaType) -> None:
    table, spec = pa.table({"x": SCALARS[kind]}), Column(kind, "x")
    frame = given(BODIES[media_type](table), spec, media_type=media_type)
    pd.testing.assert_frame_equal(frame, enforce(table.to_pandas(), (spec,)))


NESTED: list[Any] = [
    pytest.param({"items": {"type": "double"}}, [[1.0, 2.0], []], id="array"),
    pytest.param({"items": {"type": "array", "items": {"type": "long"}}}, [[[1, 2], [3]], [[4]]], id="array of arrays"),
    pytest.param(
        {"properties": {"x": {"type": "long"}, "y": {"type": "string", "required": False}}},
        [{"x": 1, "y": "q"}, {"x": 2, "y": None}],
        id="object",
    ),
    pytest.param(
        {"items": {"type": "object", "properties": {"x": {"type": "long"}}}}, [[{"x": 1}], []], id="array of objects"
    ),
    pytest.param({"values": {"type": "double"}}, [{"k": 1.0}, {}], id="map"),
    pytest.param(
        {"properties": {"m": {"type": "map", "values": {"type": "array", "items": {"type": "string"}}}}},
        [{"m": {"k": ["v"]}}, {"m": {}}],
        id="object of a map of arrays",
    ),
]
_KINDS = {"items": ColumnType.ARRAY, "properties": ColumnType.OBJECT, "values": ColumnType.MAP}


def nested_column(detail: dict[str, Any], cells: list[Any]) -> tuple[Column, Any]:
    from servery_worker.codecs.arrow_types import spec_of, type_of, with_pairs

    column = Column(_KINDS[next(iter(detail))], "x", True, detail)
    spec = spec_of(column)
    return column, pa.array([with_pairs(cell, spec) for cell in cells], type_of(spec))


@BOTH
@pytest.mark.parametrize(("detail", "cells"), NESTED)
def test_a_nested_column_is_given_and_answered_as_it_was_sent(
    detail: dict[str, Any], cells: list[Any], media_type: MediaType
) -> None:
    column, array = nested_column(detail, cells)
    body, predictor = BODIES[media_type](pa.table({"x": array})), predictor_of(Kept(), [column], [column])
    as_json = answer(predictor, Asked(media_type, body))
    assert as_json.body == answer(predictor, Asked(MediaType.JSON, json_of(cells))).body
    as_arrow = answer(predictor, Asked(media_type, body, 0, AnswerType.ARROW))
    assert read(as_arrow.body).column("x").to_pylist() == array.to_pylist()


def json_of(cells: list[Any]) -> bytes:
    import json

    return json.dumps({"dataframe_split": {"columns": ["x"], "data": [[cell] for cell in cells]}}).encode()


@BOTH
@pytest.mark.parametrize(
    ("kind", "cells", "dtype", "expected"),
    [
        (ColumnType.LONG, pa.array([2**60 + 1, None]), "Int64", [2**60 + 1, pd.NA]),
        (ColumnType.INTEGER, pa.array([7, None], pa.int32()), "Int32", [7, pd.NA]),
        (ColumnType.BOOLEAN, pa.array([True, None]), "boolean", [True, pd.NA]),
        (ColumnType.DOUBLE, pa.array([1.5, None]), "float64", [1.5, float("nan")]),
        (ColumnType.DATETIME, pa.array([5, None], pa.timestamp("ns")), "datetime64[ns]", [pd.Timestamp(5), pd.NaT]),
    ],
    ids=lambda value: value.value if isinstance(value, ColumnType) else "",
)
def test_a_null_in_an_optional_column_is_missing_and_costs_the_others_nothing(
    kind: ColumnType, cells: Any, dtype: str, expected: list[Any], media_type: MediaType
) -> None:
    frame = given(BODIES[media_type](pa.table({"x": cells})), Column(kind, "x", False), media_type=media_type)
    pd.testing.assert_series_equal(frame["x"], pd.Series(expected, dtype=dtype, name="x"))


@BOTH
@pytest.mark.parametrize(
    ("kind", "cells", "expected"),
    [
        pytest.param(ColumnType.STRING, pa.array(["x", "y"], pa.large_string()), ["x", "y"], id="large_string"),
        pytest.param(ColumnType.STRING, pa.array(["x", "y"], pa.string_view()), ["x", "y"], id="string_view"),
        pytest.param(ColumnType.STRING, pa.array(["x", "y"]).dictionary_encode(), ["x", "y"], id="dictionary"),
        pytest.param(ColumnType.DOUBLE, pa.array([1.5, 2.5]).dictionary_encode(), [1.5, 2.5], id="numbers of one"),
        pytest.param(ColumnType.BINARY, pa.array([b"x"], pa.large_binary()), [b"x"], id="large_binary"),
        pytest.param(ColumnType.BINARY, pa.array([b"x"], pa.binary_view()), [b"x"], id="binary_view"),
        pytest.param(ColumnType.BINARY, pa.array([b"xy"], pa.binary(2)), [b"xy"], id="fixed_size_binary"),
        pytest.param(ColumnType.DOUBLE, pa.array([Decimal("1.50")]), [1.5], id="decimal"),
        pytest.param(ColumnType.DOUBLE, pa.array([1.5], pa.float16()), [1.5], id="float16"),
        pytest.param(ColumnType.LONG, pa.array([7], pa.uint8()), [7], id="uint8"),
        pytest.param(ColumnType.DATETIME, pa.array([1], pa.timestamp("s")), [pd.Timestamp(1, unit="s")], id="seconds"),
        pytest.param(ColumnType.DATETIME, pa.array([1], pa.timestamp("us")), [pd.Timestamp(1000)], id="microseconds"),
        pytest.param(
            ColumnType.DATETIME, pa.array([datetime.date(2020, 1, 2)]), [pd.Timestamp(2020, 1, 2)], id="date32"
        ),
    ],
)
def test_an_arrow_type_that_holds_the_signatures_values_is_taken(
    kind: ColumnType, cells: Any, expected: list[Any], media_type: MediaType
) -> None:
    frame = given(BODIES[media_type](pa.table({"x": cells})), Column(kind, "x"), media_type=media_type)
    assert frame["x"].tolist() == expected


def test_runs_and_extension_types_are_what_they_hold() -> None:
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], [1.5, 2.5])
    frame = given(stream(pa.table({"r": runs, "u": pa.array([b"x" * 16] * 3, pa.uuid())})))
    assert frame["r"].tolist() == [1.5, 1.5, 2.5]
    assert frame["u"].tolist() == [b"x" * 16] * 3


@BOTH
def test_a_time_with_a_zone_keeps_it_without_a_signature_and_is_refused_by_one(media_type: MediaType) -> None:
    body = BODIES[media_type](pa.table({"x": pa.array([0], pa.timestamp("us", "Europe/Zurich"))}))
    assert str(given(body, media_type=media_type)["x"].dtype) == "datetime64[us, Europe/Zurich]"
    outcome, message = refusal(body, Column(ColumnType.DATETIME, "x"), media_type=media_type)
    assert outcome is Outcome.INVALID_INPUT
    assert message.startswith("Column 'x': expected datetime without a time zone, got datetime64[us, Europe/Zurich]")


@BOTH
def test_nothing_is_cast_that_could_change_a_value(media_type: MediaType) -> None:
    body = BODIES[media_type](pa.table({"a": [1.5]}))
    assert refusal(body, Column(ColumnType.LONG, "a"), media_type=media_type) == (
        Outcome.INVALID_INPUT,
        "Column 'a': expected long, got float64.",
    )


def test_columns_are_found_by_name_and_the_others_are_left_out() -> None:
    body = stream(pa.table({"z": [1], "b": ["x"], "a": [0.5]}))
    frame = given(
        body, Column(ColumnType.DOUBLE, "a"), Column(ColumnType.STRING, "b"), Column(ColumnType.LONG, "c", False)
    )
    assert list(frame.columns) == ["a", "b"]


def test_a_column_that_is_there_twice_is_refused_where_the_signature_names_it() -> None:
    body = stream(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))
    assert refusal(body, Column(ColumnType.LONG, "a"))[1] == "Column 'a' is there twice."
    assert refusal(body, Tensor("int64", (-1,), "a"))[1] == "Column 'a' is there twice."
    assert given(body).to_numpy().tolist() == [[1, 2]]


def test_a_frame_comes_back_with_its_index_and_its_labels() -> None:
    frame = pd.DataFrame({0: [1.5, 2.5], 1: ["x", "y"]}, index=pd.Index(["r", "q"], name="row"))
    pd.testing.assert_frame_equal(given(stream(pa.Table.from_pandas(frame))), frame)


def test_record_batches_are_one_table() -> None:
    sink, batch = pa.BufferOutputStream(), pa.record_batch({"x": [1.0, 2.0]})
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(3):
            writer.write_batch(batch)
    assert given(bytes(sink.getvalue()), Column(ColumnType.DOUBLE, "x"))["x"].tolist() == [1.0, 2.0] * 3


def test_an_empty_table_is_a_frame_without_rows() -> None:
    frame = given(stream(pa.table({"x": pa.array([], pa.float64())})), Column(ColumnType.DOUBLE, "x"))
    assert (frame.shape, str(frame["x"].dtype)) == ((0, 1), "float64")


def test_a_file_is_read_as_the_stream_that_it_holds() -> None:
    sink, table = pa.BufferOutputStream(), pa.table({"x": [1, 2]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert given(bytes(sink.getvalue()))["x"].tolist() == [1, 2]


# Arrays.

CUBE = np.arange(24.0).reshape(2, 3, 4)
FIXED = pa.FixedShapeTensorArray.from_numpy_ndarray(CUBE)
ROWS = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6.0)), 3)


@BOTH
@pytest.mark.parametrize(
    ("columns", "tensor", "expected"),
    [
        pytest.param({"x": [1.0, 2.0]}, Tensor("float64", (-1,)), [1.0, 2.0], id="numbers"),
        pytest.param({"x": [1.0, 2.0]}, Tensor("float64", (-1, 1)), [[1.0], [2.0]], id="numbers as rows of one"),
        pytest.param({"a": [1, 2], "b": [3, 4]}, Tensor("int64", (-1, 2)), [[1, 3], [2, 4]], id="a column a place"),
        pytest.param({"x": ROWS}, Tensor("float64", (-1, 3)), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], id="fixed lists"),
        pytest.param({"x": [[1.0], [2.0]]}, Tensor("float64", (-1, 1)), [[1.0], [2.0]], id="lists"),
        pytest.param({"x": FIXED}, Tensor("float64", (-1, 3, 4)), CUBE.tolist(), id="tensor type"),
        pytest.param(
            {"x": [[[1, 2]], [[3, 4]]]}, Tensor("int64", (-1, 1, 2)), [[[1, 2]], [[3, 4]]], id="lists of lists"
        ),
        pytest.param({"x": ["a", "bc"]}, Tensor("str", (-1,)), ["a", "bc"], id="texts"),
        pytest.param({"x": [True, False]}, Tensor("bool", (-1,)), [True, False], id="booleans"),
        pytest.param({"x": ROWS[:0]}, Tensor("float64", (-1, 3)), [], id="no rows"),
        pytest.param({"x": ROWS}, Tensor("float32", (-1, 3)), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], id="cast"),
    ],
)
def test_an_array_is_a_column_of_lists_or_a_column_for_each_place(
    columns: dict[str, Any], tensor: Tensor, expected: list[Any], media_type: MediaType
) -> None:
    array = given(BODIES[media_type](pa.table(columns)), tensor, media_type=media_type)
    assert (array.dtype.kind, array.tolist()) == (np.dtype(tensor.dtype).kind, expected)


@BOTH
def test_named_arrays_are_columns_of_their_names(media_type: MediaType) -> None:
    body = BODIES[media_type](pa.table({"y": [1, 2], "x": FIXED}))
    arrays = given(body, Tensor("float64", (-1, 3, 4), "x"), Tensor("int64", (-1,), "y"), media_type=media_type)
    assert {name: array.tolist() for name, array in arrays.items()} == {"x": CUBE.tolist(), "y": [1, 2]}


@pytest.mark.parametrize(
    ("columns", "tensor", "message"),
    [
        ({"x": ROWS}, Tensor("float64", (-1, 4)), "The input: expected shape (any, 4), got (2, 3)."),
        ({"y": [1]}, Tensor("int64", (-1,), "x"), "Input 'x' is missing; there is 'y'."),
        ({"x": [1, None]}, Tensor("int64", (-1,)), "Column 'x': expected int64: a value is no number within int64."),
        (
            {"x": [[1], None]},
            Tensor("int64", (-1, 1)),
            "Column 'x' has a null where the model takes a list of numbers.",
        ),
        ({"a": [1.0], "b": [2.0]}, Tensor("float32", (-1, 2)), "The input: expected float32 values, got float64."),
        ({"a": [1.0], "b": [2.0]}, Tensor("float64", (-1, 3)), "The input has 2 columns; the model takes an array of"),
    ],
)
def test_an_array_that_does_not_fit_is_refused_by_its_name(
    columns: dict[str, Any], tensor: Tensor, message: str
) -> None:
    outcome, found = refusal(stream(pa.table(columns)), tensor)
    assert outcome is Outcome.INVALID_INPUT
    assert found.startswith(message)


@BOTH
def test_a_loss_in_an_array_is_told_and_refused_where_losses_are(media_type: MediaType) -> None:
    body, predictor = (
        BODIES[media_type](pa.table({"x": [1.0, 2.5]})),
        predictor_of(Kept(), [Tensor("int64", (-1,), "x")]),
    )
    assert answer(predictor, Asked(media_type, body)).coerced == ("x",)
    refused = answer(predictor, Asked(media_type, body, Options.STRICT))
    assert refused.outcome is Outcome.INVALID_INPUT
    assert refused.body == b"Column 'x': number 2.5 in row 1 can only become int64 with loss, which is refused here."


# Memory.


def aligned(content: bytes) -> memoryview:
    """As a worker gets a body: memory of the request's own."""
    return memoryview(bytearray(content))


def test_numbers_reach_the_model_where_they_lie_and_it_may_write_to_them() -> None:
    body = aligned(stream(pa.table({"a": np.arange(1000.0), "b": np.arange(1000), "x": [[1.0, 2.0]] * 1000})))
    model = Kept()
    columns = [Column(ColumnType.DOUBLE, "a"), Column(ColumnType.LONG, "b")]
    assert answer(predictor_of(model, columns), Asked(MediaType.ARROW, body)).outcome is Outcome.OK
    assert (
        answer(predictor_of(model, [Tensor("float64", (-1, 2), "x")]), Asked(MediaType.ARROW, body)).outcome
        is Outcome.OK
    )
    frame, arrays = model.inputs
    whole = np.frombuffer(body, np.uint8)
    assert all(np.shares_memory(whole, frame[name].to_numpy()) for name in "ab")
    assert np.shares_memory(whole, arrays["x"])
    frame.loc[3, "a"] = 7.5
    arrays["x"] *= 2
    assert (frame["a"][3], arrays["x"][3].tolist()) == (7.5, [2.0, 4.0])


def test_a_body_that_may_not_be_written_to_is_copied_once() -> None:
    assert own_memory(b"abcd").flags.writeable
    given_memory = memoryview(bytearray(16))
    assert np.shares_memory(own_memory(given_memory), np.frombuffer(given_memory, np.uint8))


# Together.


@pytest.mark.parametrize(
    ("tables", "batches"),
    [
        pytest.param([{"x": [1.0]}, {"x": [2.0, 3.0]}], 1, id="the same columns"),
        pytest.param([{"x": [1.0]}, {"x": [2]}], 2, id="another type"),
        pytest.param([{"x": [1.0]}, {"y": [2.0]}], 2, id="another name"),
        pytest.param([{"x": [1.0]}, {"x": [2.0] * 65}], 2, id="too many rows"),
    ],
)
def test_rows_of_several_requests_are_predicted_together_where_they_fit(
    tables: list[dict[str, Any]], batches: int
) -> None:
    model = Kept()
    asked = [Asked(MediaType.ARROW, stream(pa.table(table)), 0, AnswerType.ARROW) for table in tables]
    replies, _ = predictor_of(model, row_wise=True).answer(asked)
    assert [read(reply.body).to_pydict() for reply in replies] == tables
    assert len(model.inputs) == batches


def test_arrays_of_arrow_and_of_json_are_predicted_together() -> None:
    model = Kept()
    asked = [
        Asked(MediaType.ARROW, stream(pa.table({"x": [[1.0, 2.0]]})), 0, AnswerType.ARROW),
        Asked(MediaType.ARROW, stream(pa.table({"x": [[3.0, 4.0]]}))),
    ]
    replies, _ = predictor_of(model, [Tensor("float64", (-1, 2))], row_wise=True).answer(asked)
    assert len(model.inputs) == 1
    assert read(replies[0].body).to_pydict() == {"predictions": [[1.0, 2.0]]}
    assert replies[1].body == b'{"predictions":[[3.0,4.0]]}'


# What is refused.

TABLE = pa.table({"x": list(range(100)), "s": ["text"] * 100})


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_a_stream_that_is_cut_short_anywhere_is_refused(compression: str | None) -> None:
    body = stream(TABLE, compression=compression)
    assert given(body)["x"].tolist() == list(range(100))
    for length in range(len(body)):
        assert refusal(body[:length])[0] is Outcome.BAD_REQUEST, length


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_a_damaged_stream_is_answered_in_any_case(compression: str | None) -> None:
    body = stream(TABLE, compression=compression)
    predictor = predictor_of(Kept())
    for position in range(0, len(body), 3):
        damaged = bytearray(body)
        damaged[position] ^= 0xFF
        reply = answer(predictor, Asked(MediaType.ARROW, bytes(damaged), 0, AnswerType.ARROW))
        assert reply.outcome in {Outcome.OK, Outcome.BAD_REQUEST, Outcome.UNENCODABLE}, reply.body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The Arrow stream is cut short: it has no end-of-stream mark, which closing the writer sets."),
        (b"a,b\n1,2\n", "The body is not an Arrow stream: a message has metadata of 174206049 bytes."),
        (stream(TABLE) + b"more", "The body has 4 bytes after the end of its Arrow stream."),
        (b"\xff\xff\xff\xff\0\0\0\0", "The body is not an Arrow stream: "),
    ],
)
def test_what_is_no_stream_is_refused(body: bytes, message: str) -> None:
    outcome, found = refusal(body)
    assert outcome is Outcome.BAD_REQUEST
    assert found.startswith(message)


def one_view_often(rows: int) -> Any:
    """An array of views of one long text, whose buffers are as small as one of them."""
    view = pa.array(["x" * 10_000], pa.string_view())
    views = np.frombuffer(view.buffers()[1], np.uint8)
    return pa.Array.from_buffers(
        pa.string_view(), rows, [None, pa.py_buffer(np.tile(views, rows)), *view.buffers()[2:]]
    )


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(pa.table({"x": np.zeros(1_000_000)}), id="many equal numbers"),
        pytest.param(pa.table({"x": pa.nulls(10**9)}), id="nothing but nulls"),
        pytest.param(pa.table({"x": pa.RunEndEncodedArray.from_arrays(pa.array([10**9]), ["x"])}), id="one long run"),
        pytest.param(pa.table({"x": pa.array(["x" * 10_000] * 1000).dictionary_encode()}), id="one text in many rows"),
        pytest.param(pa.table({"x": pa.RunEndEncodedArray.from_arrays([1000], ["x" * 10_000])}), id="a run of a text"),
        pytest.param(pa.table({"x": one_view_often(1000)}), id="many views of one text"),
        pytest.param(pa.table({"x": pa.array([[]] * 100_000, pa.list_(pa.int8()))}), id="many empty lists"),
    ],
)
def test_a_small_body_that_stands_for_a_huge_table_is_refused(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "DECODED_BYTES_MAX", 4 << 20)
    body = stream(table, compression="zstd")
    assert len(body) < 40_000
    assert refusal(body) == (Outcome.BAD_REQUEST, "The table is larger than 4 MiB when it is decoded.")


def test_a_type_that_has_no_form_is_refused_by_its_columns_name() -> None:
    union = pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])
    assert refusal(stream(pa.table({"u": union}))) == (
        Outcome.BAD_REQUEST,
        "Column 'u' has the Arrow type dense_union<0: int64=0>, which is not taken.",
    )


@BOTH
def test_a_schema_that_would_have_to_be_unpickled_is_refused(media_type: MediaType) -> None:
    metadata = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": "cos\nsystem\n."}
    field = pa.field("x", pa.int64(), metadata=metadata)
    table = pa.Table.from_arrays([pa.array([1])], schema=pa.schema([field]))
    assert refusal(BODIES[media_type](table), media_type=media_type) == (
        Outcome.BAD_REQUEST,
        "The Arrow schema has an extension type that would have to be unpickled.",
    )


@pytest.mark.parametrize(
    "metadata", [b"{", b"{}", b'{"index_columns": [7], "columns": 3}', b'{"index_columns": ["nope"]}']
)
def test_metadata_of_pandas_that_is_none_is_no_harm(metadata: bytes) -> None:
    table = pa.table({"x": [1]}).replace_schema_metadata({b"pandas": metadata})
    reply = answer(predictor_of(Kept()), Asked(MediaType.ARROW, stream(table)))
    assert reply.outcome in {Outcome.OK, Outcome.BAD_REQUEST}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked(MediaType.ARROW, stream(TABLE)), b"This model cannot take Arrow: its environment has no pyarrow."),
        (Asked(MediaType.PARQUET, parquet(TABLE)), b"This model cannot take Parquet: its environment has no pyarrow."),
        (
            Asked(MediaType.JSON, b'{"inputs": [1]}', 0, AnswerType.ARROW),
            b"This model cannot answer with Arrow or Parquet: its environment has no pyarrow.",
        ),
    ],
)
def test_an_environment_without_pyarrow_says_so(asked: Asked, message: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert answer(predictor_of(Kept()), asked)[:2] == (Outcome.UNSUPPORTED, message)
