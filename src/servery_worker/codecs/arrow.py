"""Arrow IPC bodies to a pyarrow table that is safe to convert: checked, of known types, and not too large.

A body is somebody else's bytes. pyarrow's own full validation finds offsets that lead out of their buffers; what it
does not find is a table that is small as Arrow and huge as anything else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from servery_worker.codecs.bodies import BadBody, LacksLibrary
from servery_worker.codecs.ipc import FILE_MAGIC, Slices, next_message, too_large
from servery_worker.codecs.plain_tables import plain_table
from servery_worker.flavors import one_line

DECODED_BYTES_MAX = 512 << 20
"""What a table may come to, as for Parquet."""
_ALIGNMENT = 8
"""Of every buffer within a stream."""


class Sent(NamedTuple):
    """A table as it was sent. ``memory`` is the array of bytes that its uncompressed buffers lie in, if any: the
    request's own, so that a model may write to it."""

    table: Any
    memory: Any = None


def table_of_arrow(body: bytes | memoryview) -> Sent:
    """The table of an IPC stream, or of a file, which holds a stream.

    Raises:
        BadBody: it is no such stream, it is cut short or corrupt, too large, or has a column of a type that is not
            taken. LacksLibrary: the model's environment has no pyarrow.
    """
    pa = pyarrow_for("take Arrow")
    memory = own_memory(body)
    view = memoryview(memory)
    if bytes(view[: len(FILE_MAGIC)]) == FILE_MAGIC:
        view = view[len(FILE_MAGIC) :]
        is_file = True
    else:
        is_file = False
    source, decoded = Slices(view), 0
    while (message := next_message(source, bytes_max=DECODED_BYTES_MAX)) is not None:
        decoded += message.decoded_bytes
        if decoded > DECODED_BYTES_MAX:
            raise too_large(DECODED_BYTES_MAX)
    if source.position < len(view) and not is_file:
        raise BadBody(f"The body has {len(view) - source.position} bytes after the end of its Arrow stream.")
    try:
        with pa.ipc.open_stream(pa.py_buffer(view)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except Exception as error:
        raise BadBody(f"The body is not an Arrow stream: {one_line(error)}.") from None
    return Sent(plain_table(table, DECODED_BYTES_MAX), memory)


def pyarrow_for(what: str) -> Any:
    """pyarrow; raises LacksLibrary where the model's environment has none. pyarrow.compute and ipc are loaded too."""
    try:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.ipc
    except ImportError:
        raise LacksLibrary(f"This model cannot {what}: its environment has no pyarrow.") from None
    return pa


def own_memory(body: bytes | memoryview) -> Any:
    """The body as a numpy array of bytes that may be written to and whose start is aligned: a copy only where it is
    neither."""
    import numpy as np

    given = np.frombuffer(body, np.uint8) if len(body) else np.empty(0, np.uint8)
    if given.flags.writeable and given.__array_interface__["data"][0] % _ALIGNMENT == 0:
        return given
    return given.copy()
