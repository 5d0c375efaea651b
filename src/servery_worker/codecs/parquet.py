"""Parquet bodies to a pandas DataFrame, as MLflow's scoring server reads them (``pandas.read_parquet``)."""

from __future__ import annotations

import io
from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.conversions import is_nullable
from servery_worker.schema import Specs

_DECODED_BYTES_MAX = 512 << 20
"""What a table may come to: a few bytes of Parquet can stand for any number of equal cells."""
_CELL_BYTES = 8


def frame_of_parquet(content: bytes | memoryview, specs: Specs | None) -> Any:
    """The table in ``content``, its columns as they were written; nothing is cast.

    Raises:
        BadBody: it is no Parquet, it is too large, or the model's environment has no pyarrow.
    """
    try:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise BadBody("This model cannot take Parquet: its environment has no pyarrow.") from None
    data = bytes(content)
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            _check_size(file)
        frame = pd.read_parquet(io.BytesIO(data), engine="pyarrow")
        for name in _nullable_in(frame, specs):
            kept = pq.read_table(pa.BufferReader(data), columns=[name])[name]
            if pa.types.is_integer(kept.type) or pa.types.is_boolean(kept.type):
                frame[name] = _with_na(kept, frame.index)
    except BadBody:
        raise
    except Exception as error:
        raise BadBody(f"The body is not a Parquet table: {error}.") from None
    return frame


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


def _nullable_in(frame: Any, specs: Specs | None) -> list[Any]:
    """The optional columns of integers or booleans that pandas made something else of, for their nulls."""
    names = [spec.name for spec in specs or () if is_nullable(spec)]
    return [name for name in names if name in frame.columns and frame[name].dtype.kind in "fO"]


def _with_na(column: Any, index: Any) -> Any:
    """An arrow column of integers or booleans as a pandas column with missing values."""
    import pandas as pd
    import pyarrow as pa

    kind = "boolean" if pa.types.is_boolean(column.type) else str(column.type).replace("int", "Int").replace("uI", "UI")
    return pd.Series(pd.array(column.to_pylist(), dtype=kind), index=index)
