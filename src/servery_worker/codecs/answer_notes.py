"""What a table was before it was one: a note in its schema, of which a caller that knows it makes the same again.

The metadata has ``servery``, a JSON object. ``kind`` is ``array``, ``series``, ``list``, ``rows``, ``value``, ``frame``
or ``mapping``. ``dtype`` is numpy's, where Arrow's own type does not tell it. ``name`` is a series's. ``values`` has
the notes of a mapping's values. Who does not know the note reads the table as any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from servery_worker.kinds import is_frame, is_series

KEY = b"servery"


def noted(table: Any, output: Any) -> Any:
    """The table of ``output``, with its note."""
    note = json.dumps(_note_of(output)).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: note})


def _note_of(output: Any) -> dict[str, Any]:
    import numpy as np

    if is_frame(output):
        return {"kind": "frame"}
    if is_series(output):
        return {"kind": "series", "name": output.name if isinstance(output.name, (str, int)) else None}
    if isinstance(output, Mapping):
        return {"kind": "mapping", "values": {str(name): _note_of(value) for name, value in output.items()}}
    if isinstance(output, np.ndarray) and output.ndim:
        # Text has a length in numpy, and times other units; the rest is told by Arrow's type.
        return {"kind": "array", "dtype": output.dtype.str if output.dtype.kind in "USMm" else None}
    if isinstance(output, (list, tuple)):
        is_rows = len(output) > 0 and all(isinstance(row, Mapping) for row in output)
        return {"kind": "rows" if is_rows else "list"}
    return {"kind": "value"}
