"""Parquet bodies: read as pandas reads them, and never larger than is good."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor, Reply
from servery_worker.schema import Column, ColumnType, Signature
from servery_worker.wire import Asked, MediaType, Outcome

FRAME = pd.DataFrame({"a": [1.5, 2.5], "s": ["x", "y"]}, index=["r", "q"])


def answer(body: bytes, *columns: Column) -> Reply:
    loaded = Loaded(lambda data, params: data.to_dict(orient="records"), row_wise=False)
    [reply], _ = Predictor("test", loaded, Signature(inputs=columns or None)).answer([Asked(MediaType.PARQUET, body)])
    return reply


def parquet(table: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def test_a_table_is_taken_by_its_columns() -> None:
    reply = answer(FRAME.to_parquet(), Column(ColumnType.STRING, "s"), Column(ColumnType.DOUBLE, "a"))
    assert reply[:3] == (Outcome.OK, b'{"predictions":[{"s":"x","a":1.5},{"s":"y","a":2.5}]}', ())


def test_its_types_must_be_those_of_the_signature_for_nothing_is_cast() -> None:
    reply = answer(FRAME.to_parquet(), Column(ColumnType.LONG, "a"))
    assert reply[:3] == (Outcome.INVALID_INPUT, b"Column 'a': expected long, got float64.", ())


@pytest.mark.parametrize("body", [b"", b"PAR1", b"a,b\n1,2\n", FRAME.to_parquet()[:-20], FRAME.to_parquet()[20:]])
def test_what_is_no_parquet_is_refused(body: bytes) -> None:
    reply = answer(body)
    assert reply.outcome is Outcome.BAD_REQUEST
    assert reply.body.startswith(b"The body is not a Parquet table: ")


ZEROS = pa.array(np.zeros(1_000_000, np.int8))


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(pa.table({"a": ZEROS}), id="many small cells"),
        pytest.param(pa.table({"s": ["x" * 10_000] * 1000}), id="one long text in many rows"),
        pytest.param(pa.table({"l": pa.ListArray.from_arrays([0, 1_000_000], ZEROS)}), id="one long list"),
    ],
)
def test_a_small_body_that_stands_for_a_huge_table_is_refused(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servery_worker.codecs.parquet._DECODED_BYTES_MAX", 4 << 20)
    body = parquet(table, compression="zstd")
    assert len(body) < 10_000
    assert answer(body)[:3] == (Outcome.BAD_REQUEST, b"The Parquet table is larger than 4 MiB when it is decoded.", ())


def test_an_environment_without_pyarrow_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    reply = answer(b"PAR1")
    assert reply.body == b"This model cannot take Parquet: its environment has no pyarrow."
