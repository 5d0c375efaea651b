"""What goes to and fro about a stream is read as it was written, and what a worker may not send is refused."""

from __future__ import annotations

import pytest

from servery_worker import stream_frames as frames
from servery_worker.stream_frames import End, Opening
from servery_worker.wire import FRAME, Asked, Kind, MediaType, Options, Outcome, WireError


def payload(frame: bytes, kind: Kind) -> bytes:
    length, found = FRAME.unpack_from(frame)
    assert (length, found) == (len(frame) - FRAME.size + 1, kind)
    return frame[FRAME.size :]


def test_frames_are_read_as_they_were_written() -> None:
    asked = Asked(MediaType.CHAT, b"body", Options.STRICT, 1, 3)
    frame = b"".join(frames.encode_open(1 << 63, asked, 16))
    assert frames.decode_open(memoryview(payload(frame, Kind.OPEN))) == Opening(1 << 63, asked, 16)
    assert frames.decode_credit(memoryview(payload(frames.encode_credit(7, 8), Kind.CREDIT))) == (7, 8)
    assert frames.decode_cancel(memoryview(payload(frames.encode_cancel(7), Kind.CANCEL))) == 7
    assert frames.decode_event(payload(frames.encode_event(7, b"{}"), Kind.EVENT)) == (7, b"{}")
    end = frames.encode_end(7, Outcome.MODEL_RAISED, b"why")
    assert frames.decode_end(payload(end, Kind.END)) == End(7, Outcome.MODEL_RAISED, b"why")


@pytest.mark.parametrize("broken", [b"", b"1234567"])
def test_an_event_or_an_end_without_an_id_is_refused(broken: bytes) -> None:
    with pytest.raises(WireError):
        frames.decode_event(broken)
    with pytest.raises(WireError):
        frames.decode_end(broken)


def test_an_end_of_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(WireError):
        frames.decode_end(b"\0" * 8 + b"\xff")
