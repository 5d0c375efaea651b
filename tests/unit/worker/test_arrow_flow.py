"""An Arrow stream in pieces: the tables that are whole, in whatever pieces its bytes come."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest

from servery_worker.codecs import arrow_flow
from servery_worker.codecs.arrow_flow import Incoming, Outgoing
from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.json_text import Unencodable

TABLE = pa.table({"x": range(30), "s": pa.array(["a", "b", "c"] * 10).dictionary_encode(), "t": ["text"] * 30})


def stream(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=10)
    return sink.getvalue()


def tables_of(body: bytes, piece_bytes: int) -> list[Any]:
    incoming, tables = Incoming(), []
    for start in range(0, len(body), piece_bytes):
        incoming.feed(body[start : start + piece_bytes])
        while (sent := incoming.next_table()) is not None:
            tables.append(sent.table)
    incoming.close()
    return tables


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("piece_bytes", [7, 500, 1 << 20])
def test_every_record_batch_is_a_table_of_its_own(piece_bytes: int, compression: str | None) -> None:
    tables = tables_of(stream(TABLE, compression=compression), piece_bytes)
    assert [table.num_rows for table in tables] == [10, 10, 10]
    assert pa.concat_tables(tables).to_pydict() == TABLE.to_pydict()


def test_dictionaries_that_grow_are_followed() -> None:
    parts = [pa.array(["a"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()]
    body = stream(pa.table({"s": pa.chunked_array(parts)}), emit_dictionary_deltas=True)
    assert [table["s"].to_pylist() for table in tables_of(body, 100)] == [["a"], ["a", "b"]]


def test_a_stream_without_record_batches_is_one_table_without_rows() -> None:
    [table] = tables_of(stream(pa.table({"x": pa.array([], pa.int64())}).slice(0, 0)), 10)
    assert (table.num_rows, table.column_names) == (0, ["x"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (stream(TABLE)[:-1], "cut short"),
        (stream(TABLE) + b"more", "4 bytes after the end"),
        (b"nonsense" * 10, "is not an Arrow stream"),
    ],
)
def test_what_is_no_whole_stream_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(BadBody, match=message):
        tables_of(body, 64)


def test_a_record_batch_that_decodes_to_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_flow, "MESSAGE_BYTES_MAX", 1 << 20)
    sink, batch = io.BytesIO(), pa.record_batch({"x": [0.0] * (1 << 18)})
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    with pytest.raises(BadBody, match="The table is larger than 1 MiB when it is decoded"):
        tables_of(sink.getvalue(), 1 << 20)


def test_tables_go_out_as_one_stream_in_pieces() -> None:
    pieces: list[bytes] = []
    outgoing = Outgoing(pieces.append)
    for start in range(3):
        outgoing.write(TABLE.slice(start * 10, 10))
    outgoing.close()
    assert len(pieces) == 4
    assert pa.ipc.open_stream(b"".join(pieces)).read_all().to_pydict() == TABLE.to_pydict()


def test_a_table_with_other_columns_does_not_fit_the_stream() -> None:
    outgoing = Outgoing(lambda piece: None)
    outgoing.write(pa.table({"x": [1]}))
    outgoing.write(pa.table({"x": pa.array([2], pa.int32())}))
    with pytest.raises(Unencodable, match="its columns are not those of the first record batch"):
        outgoing.write(pa.table({"y": [1]}))
