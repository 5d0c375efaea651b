"""One request on its way to the model: read, checked, and marked with what it may be predicted together with."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from servery_worker.codecs.bodies import Body, Form, read_body
from servery_worker.codecs.frames import frame_of_csv, frame_of_records, frame_of_split
from servery_worker.codecs.rows import Layout, Layouts
from servery_worker.codecs.tables import table_of
from servery_worker.codecs.values import value_of_inputs, value_of_instances
from servery_worker.enforcement import enforce
from servery_worker.parameters import enforce_params
from servery_worker.schema import Signature

_SHARED_ROWS_MAX = 64
"""A request with more rows is predicted alone: it gains nothing, and its neighbours would wait for it."""


class Call(NamedTuple):
    body: Body
    params: dict[str, Any] | None
    key: Hashable
    """Calls of one key may be predicted together; None: only alone."""
    row_count: int
    """Rows, where there is a key."""
    layout: Layout | None
    rows: list[Any]
    """The cells that ``layout`` makes the input of."""
    data: Any
    """The input, where there is no layout."""
    options: int = 0
    """``wire.Options``"""
    coerced: tuple[str, ...] = ()
    """Columns and params of which a value was changed to fit its type."""


class Reader:
    """Reads bodies for one model, and makes its inputs."""

    def __init__(self, signature: Signature | None) -> None:
        self._signature = signature or Signature()
        self._specs = self._signature.inputs
        self._is_typed = self._signature.is_from_type_hint
        self._layouts = Layouts(self._specs)

    def read(self, media_type: int, content: bytes | memoryview, options: int, *, batchable: bool) -> Call:
        """One request's call.

        Raises:
            BadBody: the body cannot be understood.
            InvalidInput: it breaks the signature.
        """
        body = read_body(media_type, content, self._signature)
        params = enforce_params(body.params, self._signature.params)
        table = None if self._is_typed else table_of(body, self._specs, drop_index=batchable)
        if table is not None:
            layout = self._layouts.of(table)
            if layout is not None:
                count = len(table.rows)
                shared = batchable and count <= _SHARED_ROWS_MAX
                together = (layout, repr(params)) if shared else None
                return Call(body, params, together, count, layout, table.rows, None, options)
        data = self.slowly(body)
        count, key = _shape_key(data, params) if batchable and body.form is not Form.LLM else (0, None)
        return Call(body, params, key, count, None, [], data, options)

    def slowly(self, body: Body) -> Any:
        """The model's input for a body, by pandas and every check; raises as ``read`` does."""
        with warnings.catch_warnings():  # What pandas has to say about a caller's data is nothing for our log.
            warnings.simplefilter("ignore")
            return self._slowly(body)

    def _slowly(self, body: Body) -> Any:
        value, specs = body.value, self._specs
        if body.form is Form.SPLIT:
            value = frame_of_split(value, specs)
        elif body.form is Form.RECORDS:
            value = frame_of_records(value, specs)
        elif body.form is Form.CSV:
            value = frame_of_csv(value, specs)
        elif body.form is Form.INSTANCES:
            value = value_of_instances(value, specs)
        elif body.form is Form.INPUTS and not self._is_typed:
            value = value_of_inputs(value, specs)
        return value if self._is_typed else enforce(value, specs)

    def joined(self, calls: Sequence[Call]) -> Any:
        """One input of the rows of calls that have one key.

        Raises:
            Irregular: the rows do not fit together after all.
        """
        import numpy as np

        first = calls[0]
        if first.layout is None:
            return first.data if len(calls) == 1 else np.concatenate([call.data for call in calls])
        rows = first.rows if len(calls) == 1 else [row for call in calls for row in call.rows]
        return first.layout.build(rows)


def _shape_key(data: Any, params: Any) -> tuple[int, Hashable]:
    """Arrays may be joined when their rows have one dtype and shape; text of any length is one dtype."""
    import numpy as np

    if not isinstance(data, np.ndarray) or data.ndim == 0 or not 0 < len(data) <= _SHARED_ROWS_MAX:
        return 0, None
    if data.dtype.kind == "O":
        return 0, None
    dtype = data.dtype.kind if data.dtype.kind in "US" else data.dtype.str
    return len(data), ("array", dtype, data.shape[1:], repr(params))
