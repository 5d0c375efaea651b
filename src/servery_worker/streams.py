"""One answer in pieces, from its OPEN to its END: what the model is asked, and what may be sent of what it yields.

``turns`` takes generators step by step; ``coroutines`` runs asynchronous ones side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from servery_worker import stream_frames
from servery_worker.events import Events, PlainEvents
from servery_worker.flavors import FAILURES
from servery_worker.predictor import Predictor
from servery_worker.replies import Reply, raised, refused, unencodable
from servery_worker.stream_frames import Opening
from servery_worker.streamable import single_input
from servery_worker.wire import Outcome

Send = Callable[[bytes], None]
"""Writes a whole frame; from any thread."""


class Stream:
    """A stream that the worker holds. The thread that reads frames grants credits and cancels; one other thread, the
    one that runs the model, does the rest.
    """

    def __init__(self, opening: Opening, send: Send) -> None:
        self.id = opening.id
        self.asked = opening.asked
        self.cancelled = False
        self.ended = False
        self.chunks: Any = None
        """The model's iterator, once it is asked."""
        self.context = copy_context()
        """What the model sets for itself while it works on this stream."""
        self._events: Events | None = None
        self._credits = opening.credits
        self._lock = threading.Lock()
        self._send = send

    @property
    def is_asynchronous(self) -> bool:
        return hasattr(self.chunks, "__aiter__") or hasattr(self.chunks, "__await__")

    def grant(self, count: int) -> None:
        with self._lock:
            self._credits += count

    def may_send(self) -> bool:
        with self._lock:
            return self._credits > 0

    def ask(self, predictor: Predictor) -> bool:
        """Ask the model; False where the stream has ended with that."""
        try:
            call, data = predictor.with_input(predictor.read(self.asked))
            single = single_input(data)
        except Exception as error:
            return self._fail(refused(error))
        self._events = call.events or PlainEvents(call.write, call.options)
        try:
            if predictor.stream is None:
                raise NotImplementedError("it does not stream")
            self.chunks = self.context.run(predictor.stream, single, call.params)
            if not self.is_asynchronous:
                self.chunks = iter(self.chunks)
        except FAILURES as error:
            return self._fail(raised(error))
        return True

    def say(self, chunk: Any) -> bool:
        """Send the event for a chunk, which takes a credit; False where the stream has ended with that."""
        return self._tell(lambda events: events.event(chunk))

    def finish(self) -> None:
        """The model has no more chunks."""
        if self._tell(lambda events: events.last()):
            self.end(Reply(Outcome.OK, b""))

    def fail(self, error: BaseException) -> None:
        """The model raised."""
        self._fail(raised(error))

    def end(self, reply: Reply) -> None:
        if not self.ended:
            self.ended = True
            self._send(stream_frames.encode_end(self.id, reply.outcome, reply.body))

    def _tell(self, make: Callable[[Events], bytes | None]) -> bool:
        try:
            event = None if self._events is None else make(self._events)
        except Exception as error:
            return self._fail(unencodable(error, is_written=True))
        if event is not None:
            with self._lock:
                self._credits -= 1
            self._send(stream_frames.encode_event(self.id, event))
        return True

    def _fail(self, reply: Reply) -> bool:
        self.end(reply)
        return False
