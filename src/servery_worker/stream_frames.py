"""Frames of answers that come in pieces, beside those of ``wire``.

The host opens a stream with OPEN and says with it, and later with CREDIT, how many events it takes; the worker sends
no more than that, so that a slow caller holds up its own stream and nothing else. CANCEL says that nobody listens any
more. Each stream ends with one END, also one that was cancelled: until then it counts as one that the worker holds.

    OPEN         u64 id, u8 media type, u8 answer type, u8 options, u32 head length, u32 credits, the body
    CREDIT       u64 id, u32 how many more events
    CANCEL       u64 id
    EVENT        u64 id, the event: JSON text, or what the media type's protocol has
    END          u64 id, u8 outcome, one sentence where the outcome is not OK
    CHUNK        u64 id, the next bytes of the body; none at its end

A flow, whose OPEN asks for Arrow and has no body yet, is sent its body in CHUNKs. The worker says with CREDIT how many
bytes of it are taken; no more than FLOW_BYTES_MAX may be under way.

A frame about a stream that has ended says nothing: it crossed the END on its way. This module is imported on both sides
and uses the standard library only.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from servery_worker.wire import FRAME, Asked, Kind, Outcome, WireError, frame

_OPEN = struct.Struct("<QBBBII")
_CREDIT = struct.Struct("<QI")
_ID = struct.Struct("<Q")
_END = struct.Struct("<QB")


FLOW_BYTES_MAX = 2 << 20
"""How many bytes of a flow's body may be on their way to the model."""


class Opening(NamedTuple):
    id: int
    asked: Asked
    credits: int


class End(NamedTuple):
    id: int
    outcome: Outcome
    sentence: bytes


def encode_open(id_: int, asked: Asked, credits_: int) -> list[bytes | memoryview]:
    """The pieces of an OPEN frame, to be written in order."""
    media_type, body, options, answer_type, head_bytes = asked
    head = _OPEN.pack(id_, media_type, answer_type, options, head_bytes, credits_)
    return [FRAME.pack(1 + len(head) + len(body), Kind.OPEN) + head, body]


def decode_open(payload: memoryview) -> Opening:
    id_, media_type, answer_type, options, head_bytes, credits_ = _OPEN.unpack_from(payload)
    return Opening(id_, Asked(media_type, payload[_OPEN.size :], options, answer_type, head_bytes), credits_)


def encode_credit(id_: int, count: int) -> bytes:
    return frame(Kind.CREDIT, _CREDIT.pack(id_, count))


def decode_credit(payload: memoryview) -> tuple[int, int]:
    id_, count = _CREDIT.unpack(payload)
    return id_, count


def encode_chunk(id_: int, data: bytes) -> list[bytes]:
    """The pieces of a CHUNK frame, to be written in order."""
    return [FRAME.pack(1 + _ID.size + len(data), Kind.CHUNK) + _ID.pack(id_), data]


def decode_chunk(payload: memoryview) -> tuple[int, memoryview]:
    (id_,) = _ID.unpack_from(payload)
    return id_, payload[_ID.size :]


def encode_cancel(id_: int) -> bytes:
    return frame(Kind.CANCEL, _ID.pack(id_))


def decode_cancel(payload: memoryview) -> int:
    (id_,) = _ID.unpack(payload)
    return int(id_)


def encode_event(id_: int, event: bytes) -> bytes:
    return frame(Kind.EVENT, _ID.pack(id_) + event)


def decode_event(payload: bytes) -> tuple[int, bytes]:
    """The stream and the event.

    Raises:
        WireError: there is no id. The worker runs somebody's model: nothing it sends is trusted.
    """
    if len(payload) < _ID.size:
        raise WireError("an EVENT without an id")
    (id_,) = _ID.unpack_from(payload)
    return id_, payload[_ID.size :]


def encode_end(id_: int, outcome: Outcome, sentence: bytes = b"") -> bytes:
    return frame(Kind.END, _END.pack(id_, outcome) + sentence)


def decode_end(payload: bytes) -> End:
    """How a stream ended.

    Raises:
        WireError: it is no END, or has an unknown outcome.
    """
    try:
        id_, outcome = _END.unpack_from(payload)
        return End(id_, Outcome(outcome), payload[_END.size :])
    except (struct.error, ValueError) as error:
        raise WireError(f"an END that is none: {error}") from None
