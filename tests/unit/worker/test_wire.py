"""Frames between a gateway and a worker."""

from __future__ import annotations

import pytest

from servery_worker import wire
from servery_worker.loop import fitting_answers
from servery_worker.predictor import Reply
from servery_worker.wire import Outcome

TIMINGS = wire.Timings(0.001, 0.002, 0.003)


def payload_of(frame: bytes) -> bytes:
    length, _ = wire.FRAME.unpack_from(frame)
    assert len(frame) == wire.FRAME.size + length - 1
    return frame[wire.FRAME.size :]


def test_a_batch_comes_out_as_it_went_in() -> None:
    requests = [
        (7, wire.Asked(wire.MediaType.JSON, b'{"inputs": [1]}')),
        (8, wire.Asked(wire.MediaType.CSV, b"a,b\n1,2\n", 3, wire.AnswerType.ARROW)),
        (9, wire.Asked(wire.MediaType.OIP, b"{}\0\0", 1, 0, 2)),
    ]
    frame = b"".join(wire.encode_batch(requests))
    decoded = wire.decode_batch(memoryview(payload_of(frame)))
    assert [(number, asked._replace(body=bytes(asked.body))) for number, asked in decoded] == requests


def test_results_come_out_as_they_went_in() -> None:
    results = [
        wire.Result(7, wire.Outcome.OK, b"{}"),
        wire.Result(8, wire.Outcome.MODEL_RAISED, b"no"),
        wire.Result(9, wire.Outcome.OK, b"[]\0", ("a", "größe, 2", "\ud800"), 2),
    ]
    assert wire.decode_results(payload_of(wire.encode_results(results, TIMINGS))) == (results, TIMINGS)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda payload: payload[:-1], id="a byte is missing"),
        pytest.param(lambda payload: payload + b"x", id="a byte too many"),
        pytest.param(lambda payload: b"", id="nothing at all"),
        pytest.param(lambda payload: b"\xff\xff\xff\xff" + payload[4:], id="a count that is too large"),
        pytest.param(lambda payload: payload[:37] + b"\x03" + payload[38:], id="a head that is longer than its body"),
        pytest.param(lambda payload: payload[:36] + b"\x63" + payload[37:], id="an outcome that does not exist"),
    ],
)
def test_results_that_do_not_add_up_are_refused(spoil: object) -> None:
    assert callable(spoil)
    payload = payload_of(wire.encode_results([wire.Result(7, wire.Outcome.OK, b"{}")], TIMINGS))
    with pytest.raises(wire.WireError):
        wire.decode_results(spoil(payload))


@pytest.mark.parametrize("note", [b"[1]", b'"a"', b"[", b"\xff", b"[" * 100_000], ids=repr)
def test_a_note_that_is_no_list_of_names_is_refused(note: bytes) -> None:
    payload = payload_of(wire.encode_results([wire.Result(7, wire.Outcome.OK, b"{}", ("ab",))], TIMINGS))
    lengths = wire.RESULT.pack(7, wire.Outcome.OK, 0, 2, len(note))
    with pytest.raises(wire.WireError, match="no list of names"):
        wire.decode_results(payload[: wire.RESULTS_HEAD.size] + lengths + b"{}" + note)


def test_an_answer_that_does_not_fit_in_a_frame_is_refused_alone() -> None:
    answers = [Reply(Outcome.OK, b"x" * size) for size in (60, 200, 30)]
    assert list(fitting_answers(answers, 150)) == [
        answers[0],
        Reply(Outcome.UNENCODABLE, b"The model's answer has too many bytes."),
        answers[2],
    ]
