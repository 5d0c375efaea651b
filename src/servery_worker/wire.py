"""Frames and codes between a gateway and a worker, over one inherited stream socket.

Every frame is ``u32 length of the rest, u8 kind, payload``; all integers are little-endian. The host writes
one LOAD, then BATCH frames, and shuts its side down when there will be no more. The worker sends HELLO, then
LOADED or LOAD_FAILED, then for each BATCH one RESULTS frame with an answer for every request of it, in order.

    HELLO        JSON {"wire": WIRE_VERSION, "pid": …, "python": "3.11.7"}
    LOAD         JSON {"directory": …, "mlmodel": the parsed MLmodel, "files": {relative path: SHA-256}}, and besides:
                 "must_answer": false, where a model that raises on its input example is served as long as no answer to
                 it is recorded; "neighbours": false, where one may not be asked whether rows depend on each other, as
                 that ended a process before; "load_seconds": how long all of it may take; from ``servery check``
                 "prove": false, to leave the example unasked, "watch": a file that gets what the model does to its
                 machine, "hidden": modules that the model may not find
    LOADED       JSON {"flavor": …, "batchable": …, "example": "matched" | "answered" | "absent" | "failed" | "unasked",
                 "tensors": {"inputs": […], "outputs": […]}, each {"name", "datatype", "shape"} as the Open Inference
                 Protocol has them, "streams": whether the model answers in pieces}
    LOAD_FAILED  JSON {"cause": one sentence}
    BATCH        u32 count, count × (u64 id, u8 media type, u8 answer type, u8 options, u32 head length,
                 u32 body length), the bodies one after another; the head is the body's first part, where it has one
    RESULTS      u32 count, f64 decode s, f64 predict s, f64 encode s,
                 count × (u64 id, u8 outcome, u32 head length, u32 body length, u32 note length), each body followed by
                 its note: the JSON list of names whose values were coerced with loss; no bytes where there are none

Where LOADED says that the model streams, the frames of ``stream_frames`` go to and fro between these.

WIRE_VERSION grows with every change that an older side would misread; the host refuses a worker of another one.
This module is imported on both sides and uses the standard library only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import NamedTuple

WIRE_VERSION = 4

FRAME = struct.Struct("<IB")
"""Length of what follows the length field (kind and payload), and the kind."""
COUNT = struct.Struct("<I")
REQUEST = struct.Struct("<QBBBII")
RESULTS_HEAD = struct.Struct("<Iddd")
RESULT = struct.Struct("<QBIII")

FRAME_BYTES_MAX = 1 << 30
"""A longer frame is a fault of the other side, never waited for."""
ANSWERS_BYTES_MAX = FRAME_BYTES_MAX - (1 << 20)
"""What the bodies of one RESULTS frame may come to."""
COERCED_NAMES_MAX = 20
"""How many names of coerced columns and params an answer tells."""


class Kind(IntEnum):
    HELLO = 1
    LOAD = 2
    LOADED = 3
    LOAD_FAILED = 4
    BATCH = 5
    RESULTS = 6
    OPEN = 7
    CREDIT = 8
    CANCEL = 9
    EVENT = 10
    END = 11
    CHUNK = 12


class MediaType(IntEnum):
    """What a body is, decided from the request's path and Content-Type by the gateway."""

    JSON = 1
    """MLflow's scoring protocol, as are CSV, PARQUET and ARROW."""
    CSV = 2
    PARQUET = 3
    ARROW = 4
    """An Arrow IPC stream."""
    OIP = 5
    """The Open Inference Protocol over HTTP: JSON, whose end ``head_bytes`` says where raw tensors follow it."""
    OIP_PROTOBUF = 6
    """The Open Inference Protocol over gRPC: a ModelInferRequest."""
    CHAT = 7
    """A body of OpenAI's ``/v1/chat/completions``, as are the next two of their paths."""
    COMPLETIONS = 8
    EMBEDDINGS = 9
    GENERATE = 10
    """The Open Inference Protocol's generate extension."""


class AnswerType(IntEnum):
    """In what form the answer to a body of MLflow's protocol is wanted; every other protocol has its own."""

    JSON = 0
    ARROW = 1
    PARQUET = 2


class Options(IntFlag):
    """How one request wants to be treated."""

    STRICT = 1
    """Refuse a value that its column could only take with loss, instead of taking it as MLflow does."""
    BARE_NAN = 2
    """Write NaN and the infinities as the bare words that MLflow writes, which are not JSON, instead of null."""
    RAW_TENSOR = 4
    """A body of the Open Inference Protocol over HTTP has no JSON at all: it is the data of the model's only input."""
    IN_PIECES = 8
    """The caller reads pieces: a model that answers at once answers in one of them."""


class Outcome(IntEnum):
    """How one request ended in the worker. Every outcome but OK has a sentence as its body."""

    OK = 0
    """The body is the answer, in the form that was asked for."""
    BAD_REQUEST = 1
    """The body could not be understood: no JSON, no or two input fields, a broken table."""
    INVALID_INPUT = 2
    """The body was understood and breaks the signature; the sentence names the column."""
    MODEL_RAISED = 3
    """The model raised on this input alone."""
    UNENCODABLE = 4
    """The model answered with something that has no form in the answer's media type."""
    MODEL_REFUSED = 5
    """The model raised an error that has an error code of MLflow's; the body is the code, ": " and the sentence."""
    UNSUPPORTED = 6
    """The model's environment lacks the library that reads the body, or that writes the answer."""


_OUTCOMES = tuple(Outcome)


class WireError(Exception):
    """The other side broke the protocol; the connection is of no more use."""


class Asked(NamedTuple):
    """What one request asks of a worker."""

    media_type: int
    body: bytes | memoryview
    options: int = 0
    answer_type: int = AnswerType.JSON
    head_bytes: int = 0
    """How many bytes of the body its head has, where raw tensors follow a head; 0 where the body is of one piece."""


class Result(NamedTuple):
    id: int
    outcome: Outcome
    body: bytes
    coerced: tuple[str, ...] = ()
    """Columns and params of which a value was changed to fit, at most COERCED_NAMES_MAX."""
    head_bytes: int = 0
    """How many bytes of the body its head has, where raw tensors follow it; else 0."""


class Timings(NamedTuple):
    """Seconds that a worker spent on a batch, by stage."""

    decode_seconds: float
    predict_seconds: float
    encode_seconds: float


def frame(kind: int, payload: bytes) -> bytes:
    return FRAME.pack(len(payload) + 1, kind) + payload


def encode_batch(requests: Sequence[tuple[int, Asked]]) -> list[bytes | memoryview]:
    """The pieces of a BATCH frame of requests with their ids, to be written in order: a head, then the bodies."""
    heads = [COUNT.pack(len(requests))]
    heads += [
        REQUEST.pack(id_, media_type, answer_type, options, head_bytes, len(body))
        for id_, (media_type, body, options, answer_type, head_bytes) in requests
    ]
    head = b"".join(heads)
    bodies = [asked.body for _, asked in requests]
    length = 1 + len(head) + sum(map(len, bodies))
    return [FRAME.pack(length, Kind.BATCH) + head, *bodies]


def decode_batch(payload: memoryview) -> list[tuple[int, Asked]]:
    """The requests of a BATCH payload with their ids; the bodies are views into it."""
    (count,) = COUNT.unpack_from(payload, 0)
    position = COUNT.size + count * REQUEST.size
    requests = []
    for offset in range(COUNT.size, position, REQUEST.size):
        id_, media_type, answer_type, options, head_bytes, length = REQUEST.unpack_from(payload, offset)
        body = payload[position : position + length]
        requests.append((id_, Asked(media_type, body, options, answer_type, head_bytes)))
        position += length
    if position != len(payload):
        raise WireError(f"a BATCH of {len(payload)} bytes whose parts add up to {position}")
    return requests


def encode_results(results: Sequence[Result], timings: Timings) -> bytes:
    """A whole RESULTS frame."""
    heads, bodies = [RESULTS_HEAD.pack(len(results), *timings)], []
    for id_, outcome, body, coerced, head_bytes in results:
        note = json.dumps(coerced).encode() if coerced else b""
        heads.append(RESULT.pack(id_, outcome, head_bytes, len(body), len(note)))
        bodies += [body, note]
    return frame(Kind.RESULTS, b"".join(heads + bodies))


def decode_results(payload: bytes) -> tuple[list[Result], Timings]:
    """The answers of a RESULTS payload.

    Raises:
        WireError: lengths that do not add up. The worker runs somebody's model: nothing it sends is trusted.
    """
    try:
        count, *seconds = RESULTS_HEAD.unpack_from(payload, 0)
        position = RESULTS_HEAD.size + count * RESULT.size
        results = []
        for offset in range(RESULTS_HEAD.size, position, RESULT.size):
            id_, outcome, head_bytes, length, note_length = RESULT.unpack_from(payload, offset)
            note = position + length
            if head_bytes > length:
                raise WireError(f"RESULTS with a head of {head_bytes} bytes in a body of {length}")
            coerced = _read_note(payload[note : note + note_length]) if note_length else ()
            results.append(Result(id_, _OUTCOMES[outcome], payload[position:note], coerced, head_bytes))
            position = note + note_length
    except (struct.error, IndexError) as error:
        raise WireError(f"RESULTS that end early or hold an unknown outcome: {error}") from None
    if position != len(payload):
        raise WireError(f"RESULTS of {len(payload)} bytes whose parts add up to {position}")
    return results, Timings(*seconds)


def _read_note(note: bytes) -> tuple[str, ...]:
    try:
        names = json.loads(note)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WireError("RESULTS with a note that is no list of names")
    return tuple(names[:COERCED_NAMES_MAX])
