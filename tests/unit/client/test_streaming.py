"""What an answer that comes in parts says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from servery.client.predictions.steps import Deadline, Loss, Lost
from servery.client.predictions.streaming import StreamReader
from servery.errors import AnswerLate, ModelFailed, RemoteError, StreamBroken

CHUNKED = {"transfer-encoding": "chunked"}


def reader(
    content_type: str = "text/event-stream; charset=utf-8", framing: Mapping[str, str] = CHUNKED
) -> StreamReader:
    headers = {"content-type": content_type, "x-model-version": "talk/2", **framing}
    return StreamReader(headers, Deadline(100.0, 5.0), "mine")


def read(reading: StreamReader, text: bytes) -> list[Any]:
    return [*reading.feed(text), *reading.end()]


def test_each_event_is_one_value_until_the_last() -> None:
    assert read(reader(), b'data: {"a": 1}\n\ndata: "b"\n\ndata: [DONE]\n\ndata: 3\n\n') == [{"a": 1}, "b"]


def test_a_stream_without_a_last_event_ends_where_http_says_that_it_does() -> None:
    assert read(reader(), b"data: 1\n\n") == [1]


@pytest.mark.parametrize("text", [b"", b"data: 1\n\n", b"data: 1\n\ndata: [DO"])
def test_a_stream_that_neither_says_to_be_whole_is_broken(text: bytes) -> None:
    with pytest.raises(StreamBroken, match="nothing says that it was whole"):
        read(reader(framing={}), text)


def test_an_error_in_the_middle_is_raised_with_its_sentence_and_version() -> None:
    reading = reader()
    text = b'data: 1\n\ndata: {"error": "The model raised.", "error_code": "BAD_REQUEST"}\n\n'
    values: list[Any] = []
    with pytest.raises(ModelFailed, match=r"^The model raised\.$") as caught:
        values.extend(reading.feed(text))
    assert (caught.value.error_code, caught.value.model_version, caught.value.request_id) == (
        "BAD_REQUEST",
        "talk/2",
        "mine",
    )


@pytest.mark.parametrize(
    ("code", "kind"),
    [("BAD_REQUEST", ModelFailed), ("DEADLINE_EXCEEDED", AnswerLate), ("TEMPORARILY_UNAVAILABLE", StreamBroken)],
)
def test_a_failure_in_the_middle_is_the_error_of_its_reason(code: str, kind: type[RemoteError]) -> None:
    with pytest.raises(kind, match="No more"):
        read(reader(), json.dumps({"error": "No more.", "error_code": code}).encode().join((b"data: ", b"\n\n")))


def test_an_event_that_is_no_json_breaks_the_stream() -> None:
    with pytest.raises(StreamBroken, match="cannot be read"):
        read(reader(), b"data: {\n\n")


def test_a_model_that_does_not_stream_gives_its_whole_answer_as_one_value() -> None:
    reading = reader("application/json")
    assert [*reading.feed(b'{"predic'), *read(reading, b'tions": [1, 2]}')] == [[1, 2]]


def test_what_is_neither_events_nor_json_is_no_answer() -> None:
    with pytest.raises(RemoteError, match="no JSON"):
        read(reader("text/html"), b"<html>")


def test_bytes_that_do_not_come_are_late_or_broken() -> None:
    assert isinstance(reader().broken(Lost(Loss.LATE)), AnswerLate)
    assert isinstance(reader().broken(Lost(Loss.BROKEN, "reset")), StreamBroken)
