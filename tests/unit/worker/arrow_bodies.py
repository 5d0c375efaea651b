"""Arrow and Parquet bodies for tests, and what a model makes of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor, Reply
from servery_worker.schema import Column, Signature, Tensor
from servery_worker.wire import AnswerType, Asked, MediaType, Outcome


def stream(table: Any, **options: Any) -> bytes:
    """``table`` as pyarrow's own writer writes it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def parquet(table: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


BODIES: dict[MediaType, Callable[[Any], bytes]] = {MediaType.ARROW: stream, MediaType.PARQUET: parquet}


class Kept:
    """A model that answers with its input, and keeps it."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def __call__(self, data: Any, params: Any) -> Any:
        self.inputs.append(data)
        return data


def predictor_of(
    predict: Callable[[Any, Any], Any],
    inputs: Sequence[Column | Tensor] = (),
    outputs: Sequence[Column | Tensor] = (),
    *,
    row_wise: bool = False,
) -> Predictor:
    signature = Signature(inputs=tuple(inputs) or None, outputs=tuple(outputs) or None)
    return Predictor("test", Loaded(predict, row_wise=row_wise), signature)


def answer(predictor: Predictor, asked: Asked) -> Reply:
    [reply], _ = predictor.answer([asked])
    return reply


def given(body: bytes, *specs: Column | Tensor, media_type: MediaType = MediaType.ARROW) -> Any:
    """What the model is given for a body."""
    model = Kept()
    reply = answer(predictor_of(model, specs), Asked(media_type, body, 0, AnswerType.ARROW))
    assert reply.outcome is Outcome.OK, reply.body
    return model.inputs[0]


def refusal(body: bytes, *specs: Column | Tensor, media_type: MediaType = MediaType.ARROW) -> tuple[Outcome, str]:
    """How a body is refused."""
    reply = answer(predictor_of(Kept(), specs), Asked(media_type, body))
    assert reply.outcome is not Outcome.OK, reply.body
    return reply.outcome, reply.body.decode()


def read(body: bytes) -> Any:
    return pa.ipc.open_stream(body).read_all()
