"""One request on its way to the model: read, checked, and marked with what it may be predicted together with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

from servery_worker.clock import now_seconds
from servery_worker.codecs.arrow import Sent, table_of_arrow
from servery_worker.codecs.arrow_answers import writer_of
from servery_worker.codecs.bodies import BadBody, Body, Form, exactly, read_body
from servery_worker.codecs.columns import arrays_of_table, frame_of_table, has_lists
from servery_worker.codecs.frames import frame_of_csv, frame_of_records, frame_of_split
from servery_worker.codecs.parquet import table_of_parquet
from servery_worker.codecs.rows import Layout, Layouts
from servery_worker.codecs.tables import table_of
from servery_worker.codecs.values import value_of_inputs, value_of_instances
from servery_worker.enforcement import enforce
from servery_worker.events import Events
from servery_worker.flavors import one_line
from servery_worker.kinds import is_frame
from servery_worker.language import calls as language
from servery_worker.losses import Loss, losses_of
from servery_worker.oip import grpc_form
from servery_worker.oip.frames import names_of, table_of_tensors
from servery_worker.oip.inputs import model_input, params_of
from servery_worker.oip.messages import InferRequest, InferResponse
from servery_worker.oip.metadata import model_metadata
from servery_worker.oip.outputs import response_of
from servery_worker.oip.rest import read_request, write_response
from servery_worker.parameters import enforce_params
from servery_worker.schema import InvalidInput, Signature, Specs, Tensor
from servery_worker.wire import AnswerType, Asked, MediaType, Options

_SHARED_ROWS_MAX = 64
"""A request with more rows is predicted alone: it gains nothing, and its neighbours would wait for it."""


_DECODERS: dict[Form, Callable[[Any, Specs | None], Any]] = {
    Form.SPLIT: frame_of_split,
    Form.RECORDS: frame_of_records,
    Form.INSTANCES: value_of_instances,
    Form.INPUTS: value_of_inputs,
    Form.CSV: frame_of_csv,
}
_TABLES: dict[Form, Callable[[Any], Sent]] = {Form.PARQUET: table_of_parquet, Form.ARROW: table_of_arrow}
"""Forms whose cells have types of their own."""

LANGUAGE = frozenset(map(int, language.KINDS))
"""The media types that are read by ``language``; integers, as the hot path has them."""

Write = Callable[[Any], "tuple[bytes, int]"]
"""From a model's output, or one request's part of it, to the answer's body and how many bytes its head has (0 where it
is of one piece); raises Unencodable."""


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
    write: Write | None = None
    """How the answer is written, where that is not MLflow's JSON."""
    events: Events | None = None
    """How the answer is told in pieces, where that is not chunk by chunk."""


class Reader:
    """Reads bodies for one model, and makes its inputs."""

    def __init__(
        self, signature: Signature | None, task: str | None = None, now: Callable[[], int] = now_seconds
    ) -> None:
        self._signature = signature or Signature()
        self._now = now
        self._task = task
        self._specs = self._signature.inputs
        self._names = names_of(self._specs) if self._specs else None
        self._is_typed = self._signature.is_from_type_hint
        self._layouts = Layouts(self._specs)
        self.tensors = model_metadata(signature)
        """What the model takes and gives, as the Open Inference Protocol says it."""

    def keep_layouts(self) -> None:
        """The keys of tables like those read so far stay as they are."""
        self._layouts.keep()

    def read(self, asked: Asked, *, batchable: bool) -> Call:
        """One request's call.

        Raises:
            BadBody: the body cannot be understood.
            InvalidInput: it breaks the signature.
            LacksLibrary: the model's environment cannot read it, or not write the answer that is asked for.
        """
        if asked.media_type == MediaType.OIP:
            request = read_request(asked, self.tensors["inputs"])
            return self._infer(request, write_response, asked.options, batchable=batchable)
        if asked.media_type == MediaType.OIP_PROTOBUF:
            request, is_raw = grpc_form.read_request(asked.body)
            written = partial(grpc_form.write_response, is_raw=is_raw)
            return self._infer(request, written, asked.options, batchable=batchable)
        if asked.media_type in LANGUAGE:
            conversation = language.read(asked, self._task, self._signature, self._now())
            call = self._read(conversation.body, asked.options, batchable=batchable)
            return call._replace(write=conversation.write, events=conversation.events)
        body = read_body(asked.media_type, asked.body, self._signature)
        if asked.answer_type == AnswerType.JSON:
            return self._read(body, asked.options, batchable=batchable)
        write = writer_of(asked.answer_type, self._signature.outputs)
        return self._read(body, asked.options, batchable=batchable)._replace(write=write)

    def _read(self, body: Body, options: int, *, batchable: bool) -> Call:
        try:
            params = enforce_params(body.params, self._signature.params)
        except InvalidInput:
            # In MLflow's order, what is wrong with the data is told first.
            return self.slowly(body, options, batchable=batchable)
        table = None if self._is_typed else table_of(body, self._specs, drop_index=batchable)
        if table is not None:
            layout = self._layouts.of(table)
            if layout is not None:
                count = len(table.rows)
                shared = batchable and count <= _SHARED_ROWS_MAX
                together = (layout, repr(params)) if shared else None
                return Call(body, params, together, count, layout, table.rows, None, options)
        return self.slowly(body, options, batchable=batchable)

    def _infer(
        self,
        request: InferRequest,
        write: Callable[[InferResponse, InferRequest], tuple[bytes, int]],
        options: int,
        *,
        batchable: bool,
    ) -> Call:
        """The call of a request of the Open Inference Protocol; ``write`` has the answer's form on the wire."""
        params, outputs = params_of(request, self._signature), self._signature.outputs
        body = Body(Form.INFER, request, params)

        def written(output: Any) -> tuple[bytes, int]:
            return write(response_of(output, request, outputs), request)

        table = None if self._is_typed else table_of_tensors(request, self._specs, self._names, _SHARED_ROWS_MAX)
        layout = None if table is None else self._layouts.of(table)
        if table is None or layout is None:
            return self.slowly(body, options, batchable=batchable)._replace(write=written)
        together = (layout, repr(params)) if batchable else None
        return Call(body, params, together, len(table.rows), layout, table.rows, None, options, write=written)

    def _infer_slowly(self, body: Body, options: int, *, batchable: bool) -> Call:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = model_input(body.value, self._signature)
        count, key = _shape_key(data, body.params) if batchable else (0, None)
        return Call(body, body.params, key, count, None, [], data, options)

    def of_table(self, sent: Sent, options: int) -> Call:
        """The call of a table that is read already, which is predicted alone; raises as ``read``."""
        return self.slowly(Body(Form.ARROW, sent), options, batchable=False)

    def slowly(self, body: Body, options: int, *, batchable: bool) -> Call:
        """As ``read``, by pandas and every check."""
        if body.form is Form.INFER:
            return self._infer_slowly(body, options, batchable=batchable)
        body = exactly(body, self._signature)
        with warnings.catch_warnings():  # What pandas has to say about a caller's data is nothing for our log.
            warnings.simplefilter("ignore")
            data, losses = self._of_table(body) if body.form in _TABLES else self._of_text(body)
        if losses and options & Options.STRICT:
            raise InvalidInput(str(losses[0]))
        params = enforce_params(body.params, self._signature.params)
        count, key = 0, None
        if batchable and body.form is not Form.LLM:
            count, key = (
                _frame_key(data, params) if body.form in _TABLES and is_frame(data) else _shape_key(data, params)
            )
        coerced = tuple(loss.name for loss in losses)
        return Call(body, params, key, count, None, [], data, options, coerced)

    def _of_text(self, body: Body) -> tuple[Any, list[Loss]]:
        """The model's input for a body whose cells are text or of JSON's types, and what was lost of them."""
        decoded = self._decoded(body)
        if self._is_typed:
            return decoded, []
        data = enforce(decoded, self._specs)
        return data, losses_of(body, decoded, data, self._specs)

    def _of_table(self, body: Body) -> tuple[Any, list[Loss]]:
        """The same for a table: only arrays are cast."""
        sent = body.value if isinstance(body.value, Sent) else _TABLES[body.form](body.value)
        specs, losses = None if self._is_typed else self._specs, list[Loss]()
        try:
            as_mlflow = body.form is Form.PARQUET and has_lists(sent)
            if specs and isinstance(specs[0], Tensor) and not as_mlflow:
                data, losses = arrays_of_table(sent, [spec for spec in specs if isinstance(spec, Tensor)])
            else:
                data = frame_of_table(sent, specs)
        except InvalidInput:
            raise
        except Exception as error:
            raise BadBody(f"The table cannot be read: {one_line(error)}.") from None
        return enforce(data, specs), losses

    def _decoded(self, body: Body) -> Any:
        """What the body holds, its values cast to the signature's types; raises BadBody."""
        decode = None if self._is_typed and body.form is Form.INPUTS else _DECODERS.get(body.form)
        if decode is None:
            return body.value
        try:
            return decode(body.value, self._specs)
        except BadBody:
            raise
        except InvalidInput as error:
            raise BadBody(str(error)) from None
        except Exception as error:
            raise BadBody(f"The input cannot be read: {one_line(error)}.") from None

    def joined(self, calls: Sequence[Call]) -> Any:
        """One input of the rows of calls that have one key.

        Raises:
            Irregular: the rows do not fit together after all.
        """
        import numpy as np

        first = calls[0]
        if first.layout is None and len(calls) == 1:
            return first.data
        if first.layout is None and is_frame(first.data):
            import pandas as pd

            return pd.concat([call.data for call in calls], ignore_index=True)
        if first.layout is None:
            return np.concatenate([call.data for call in calls])
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


def _frame_key(frame: Any, params: Any) -> tuple[int, Hashable]:
    """Frames may be joined when they have the same columns of the same dtypes, and rows without labels."""
    import pandas as pd

    labels = frame.index
    if not isinstance(labels, pd.RangeIndex) or labels.start != 0 or labels.step != 1 or labels.name is not None:
        return 0, None
    if not 0 < len(frame) <= _SHARED_ROWS_MAX:
        return 0, None
    return len(frame), ("frame", tuple(frame.columns), tuple(frame.dtypes), repr(params))
