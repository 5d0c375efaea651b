"""An Arrow body that is answered while it comes in: from a connection to its worker, and back.

The head goes out with the first bytes of the answer. A caller that reads while it sends is the rule that back-pressure
is made for: where it does not take its answer, no more of its body is read. Most HTTP clients read only once they have
sent all, and would wait for ever; so as long as the body comes in, what such a caller does not take waits on disk.
"""

from __future__ import annotations

import logging
from typing import Protocol

from servery.clock import Clock
from servery.errors import ServeryError
from servery.serving.answers import refusal_of, status_of
from servery.serving.dialects.dialect import Operation, Reply
from servery.serving.spool import Spool
from servery.serving.targets import Choice
from servery.workers.flow import Flow
from servery.workers.stream import Stream
from servery_worker.wire import Outcome

SPOOL_BYTES_MAX = 16 << 30
"""What may wait on disk for one caller."""
_PIECE_BYTES = 256 << 10
_CALLER_LEFT = 499

log = logging.getLogger(__name__)


class Connection(Protocol):
    """Port: the connection of the flow's caller. No method may raise or wait."""

    def begin_flow(self) -> None:
        """Write the head of an Arrow stream in chunks."""

    def write(self, data: bytes) -> None: ...

    def end_flow(self) -> None:
        """All of it is written."""

    def break_off(self) -> None:
        """What was written is not all, and nothing can be said any more: the connection ends."""

    def answer(self, reply: Reply, error: ServeryError | None) -> None:
        """Nothing of it is written, and this is the answer instead; with the error that it tells, if it is ours."""

    def read_on(self) -> None:
        """There is room for more of the body."""


class ArrowFlow:
    """The listener of one flow."""

    def __init__(self, caller: Connection, operation: Operation, choice: Choice, clock: Clock, spool: Spool) -> None:
        self.flow: Flow
        self._caller = caller
        self._operation = operation
        self._choice = choice
        self._clock = clock
        self._spool = spool
        self._begun = False
        self._paused = False
        self._ended = False
        self._body_ended = False
        self._owed = 0
        """Pieces that the worker has not been told are taken."""

    @property
    def has_room(self) -> bool:
        """Whether more of the body may be read."""
        return self.flow.settled or self.flow.room > 0

    # What the connection tells.

    def feed(self, data: bytes) -> None:
        self._moved()
        self.flow.feed(data)

    def close(self) -> None:
        """All of the body has come in."""
        self._body_ended = True
        self.flow.close()

    def pause(self) -> None:
        """The caller does not take what was written."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._moved()
        self._drain()

    def leave(self) -> None:
        """The caller has left."""
        self._spool.close()
        if not self.flow.settled:
            self.flow.cancel()
            self._count(_CALLER_LEFT)

    # What the flow tells.

    def on_room(self) -> None:
        self._moved()
        self._caller.read_on()

    def on_event(self, stream: Stream, event: bytes) -> None:
        self._moved()
        if not self._begun:
            self._begun = True
            self._caller.begin_flow()
        self._owed += 1
        if self._paused or len(self._spool):
            self._keep(event)
        else:
            self._write(event)
        self._give_back(stream)

    def on_end(self, stream: Stream, outcome: Outcome, sentence: bytes) -> None:  # noqa: ARG002
        if outcome is Outcome.OK:
            self._ended = True
            self._drain()
        else:
            self._fail(self._operation.dialect.refusal(*refusal_of(outcome, sentence)), None)

    def on_refusal(self, stream: Stream, error: ServeryError) -> None:  # noqa: ARG002
        self._fail(self._operation.dialect.refusal(*status_of(error), error.message), error)

    def _fail(self, reply: Reply, error: ServeryError | None) -> None:
        self._spool.close()
        if self._begun:
            self._count(reply.status)
            self._caller.break_off()
        else:
            self._caller.answer(reply, error)

    def _keep(self, event: bytes) -> None:
        try:
            if len(self._spool) + len(event) <= SPOOL_BYTES_MAX:
                self._spool.add(event)
                return
        except OSError as error:
            log.warning("an answer that its caller does not read cannot wait on disk: %s", error.strerror)
        self.flow.cancel()
        self._spool.close()
        self._count(_CALLER_LEFT)
        self._caller.break_off()

    def _drain(self) -> None:
        """Write what waits, as far as the caller takes it."""
        while len(self._spool) and not self._paused:
            self._write(self._spool.take(_PIECE_BYTES))
        if len(self._spool):
            return
        if self._ended:
            self._ended = False
            self._caller.write(b"0\r\n\r\n")
            self._spool.close()
            self._count(200)
            self._caller.end_flow()
        elif not self.flow.settled:
            self._give_back(self.flow)

    def _give_back(self, stream: Stream) -> None:
        """Have the worker send more: while the body comes in in any case, later as the caller takes it."""
        if self._owed and (not self._body_ended or not (self._paused or len(self._spool))):
            stream.take(self._owed)
            self._owed = 0

    def _write(self, data: bytes) -> None:
        self._caller.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _moved(self) -> None:
        self.flow.deadline = self._clock.monotonic() + self.flow.seconds

    def _count(self, status: int) -> None:
        self._choice.counts.add(status, self.flow.first_event - self.flow.arrived)
