"""Server-sent events, however the network cuts them."""

from __future__ import annotations

import pytest

from servery.client.predictions import events
from servery.client.predictions.events import Event, EventReader

STREAM = 'data: {"a": 1}\n\n: a comment\r\nevent: error\r\ndata: x\r\ndata: y\r\n\r\nid: 7\rdata:größe\r\r'.encode()
SAID = [Event("message", '{"a": 1}'), Event("error", "x\ny"), Event("message", "größe")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_same_events_come_of_chunks_of_any_size(size: int) -> None:
    reader = EventReader()
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    # A last CR may be half of a CR LF, so it takes one more line.
    found = [event for chunk in [*chunks, b"\n"] for event in reader.feed(chunk)]
    assert found == SAID


def test_an_event_that_is_not_whole_is_no_event() -> None:
    assert list(EventReader().feed(b"data: x\n")) == []


def test_an_event_without_data_is_no_event_and_its_name_is_not_kept() -> None:
    assert list(EventReader().feed(b"event: error\n\ndata: x\n\n")) == [Event("message", "x")]


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENT_BYTES_MAX", 100)
    reader = EventReader()
    for _ in range(13):
        assert list(reader.feed(b"data: xx\n")) == []
    with pytest.raises(ValueError, match="more than 100 bytes"):
        list(reader.feed(b"data: xx\n"))
