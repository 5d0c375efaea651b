"""Answers in pieces over HTTP: server-sent events, as the HTML standard has them (section 9.2).

The head goes out with the first event, so that what fails before it is a plain answer with its own status. Later a
failure is an event, and then the end. A caller that reads slowly holds up its own stream: it is given events as it
takes them.
"""

from __future__ import annotations

from typing import Protocol

from servery.errors import ServeryError
from servery.serving.answers import status_of
from servery.serving.dialects.dialect import Operation, Reply, Streaming
from servery.serving.targets import Choice
from servery.workers.stream import CREDITS, Stream
from servery_worker.wire import Outcome

CALLER_LEFT = 499
_OWED_MAX = CREDITS // 2
"""After so many events the worker is told that there is room again."""


class Caller(Protocol):
    """Port: the connection of the stream's caller. No method may raise or wait."""

    def begin_events(self) -> bool:
        """Write the head of an answer in pieces; whether they are to be written as chunks (HTTP/1.1)."""

    def write(self, data: bytes) -> None: ...

    def end_events(self) -> None:
        """All of it is written."""

    def answer(self, reply: Reply, error: ServeryError | None) -> None:
        """Nothing of it is written, and this is the answer instead; with the error that it tells, if it is ours."""


class EventStream:
    """The listener of one stream: from events to what its caller reads."""

    def __init__(self, caller: Caller, streaming: Streaming, operation: Operation, choice: Choice) -> None:
        self.stream: Stream
        self._caller = caller
        self._streaming = streaming
        self._operation = operation
        self._choice = choice
        self._begun = False
        self._chunked = True
        self._paused = False
        self._owed = 0

    def on_event(self, stream: Stream, event: bytes) -> None:
        self._write(self._streaming.event(event, self._operation, self._choice))
        self._owed += 1
        if not self._paused and self._owed >= _OWED_MAX:
            self._give_back(stream)

    def on_end(self, stream: Stream, outcome: Outcome, sentence: bytes) -> None:
        if outcome is Outcome.OK:
            self._finish(stream, 200, self._streaming.ending)
            return
        self._fail(stream, self._streaming.failed(outcome, sentence), None)

    def on_refusal(self, stream: Stream, error: ServeryError) -> None:
        self._fail(stream, self._operation.dialect.refusal(*status_of(error), error.message), error)

    def pause(self) -> None:
        """The caller does not take what was written."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._owed:
            self._give_back(self.stream)

    def leave(self) -> None:
        """The caller has left."""
        if not self.stream.settled:
            self.stream.cancel()
            self._count(self.stream, CALLER_LEFT)

    def _fail(self, stream: Stream, reply: Reply, error: ServeryError | None) -> None:
        if self._begun:
            self._finish(stream, reply.status, self._streaming.failure(reply))
        else:
            self._caller.answer(reply, error)

    def _give_back(self, stream: Stream) -> None:
        stream.take(self._owed)
        self._owed = 0

    def _write(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            self._chunked = self._caller.begin_events()
        if data:
            self._caller.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _finish(self, stream: Stream, status: int, last: bytes) -> None:
        self._write(last)
        if self._chunked:
            self._caller.write(b"0\r\n\r\n")
        self._count(stream, status)
        self._caller.end_events()

    def _count(self, stream: Stream, status: int) -> None:
        self._choice.counts.add(status, stream.first_event - stream.arrived)
