"""Parquet bodies to a pyarrow table, as MLflow's scoring server reads them (``pandas.read_parquet``)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from servery_worker.codecs.arrow import Sent, pyarrow_for
from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.ipc import UNPICKLED_ON_READING
from servery_worker.codecs.plain_tables import plain_table

_DECODED_BYTES_MAX = 512 << 20
"""What a table may come to: a few bytes of Parquet can stand for any number of equal cells."""
_CELL_BYTES = 8


def table_of_parquet(content: bytes | memoryview) -> Sent:
    """The table in ``content``, its columns as they were written.

    Raises:
        BadBody: it is no Parquet, or it is too large. LacksLibrary: the model's environment has no pyarrow.
    """
    pa = pyarrow_for("take Parquet")
    import pyarrow.parquet as pq

    source = pa.py_buffer(content)
    try:
        _check_schema(pq.read_metadata(pa.BufferReader(source)))
        with pq.ParquetFile(pa.BufferReader(source)) as file:
            _check_size(file)
            table = file.read()
        table.validate(full=True)
        return Sent(plain_table(table, _DECODED_BYTES_MAX))
    except BadBody:
        raise
    except Exception as error:
        raise BadBody(f"The body is not a Parquet table: {error}.") from None


def _check_schema(metadata: Any) -> None:
    """Raises BadBody where the Arrow schema that a file brings would have an old pyarrow unpickle what is in it."""
    kept = (metadata.metadata or {}).get(b"ARROW:schema", b"")
    try:
        schema = base64.b64decode(kept)
    except (ValueError, binascii.Error):
        schema = b""
    if UNPICKLED_ON_READING in schema:
        raise BadBody("The Arrow schema has an extension type that would have to be unpickled.")


def _check_size(file: Any) -> None:
    """Raises BadBody when the decoded table would be too large; decodes it in parts where its head cannot tell."""
    meta = file.metadata
    chunks = [meta.row_group(group).column(c) for group in range(meta.num_row_groups) for c in range(meta.num_columns)]
    stored = sum(chunk.total_uncompressed_size for chunk in chunks)
    cells = max(sum(chunk.num_values for chunk in chunks), meta.num_rows * max(meta.num_columns, 1))
    decoded = stored + cells * _CELL_BYTES
    # One text that is stored once may be in every row: so many rows are within the bound even then.
    rows = max(1, _DECODED_BYTES_MAX // max(stored, 1))
    if decoded <= _DECODED_BYTES_MAX and rows < meta.num_rows:
        decoded = 0
        for batch in file.iter_batches(rows):
            decoded += batch.nbytes
            if decoded > _DECODED_BYTES_MAX:
                break
    if decoded > _DECODED_BYTES_MAX:
        raise BadBody(f"The Parquet table is larger than {_DECODED_BYTES_MAX >> 20} MiB when it is decoded.")
