"""One answer in pieces on its way from a worker, and the streams that one worker holds."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from servery.clock import Clock
from servery.errors import DeadlinePassed, ServeryError, Unavailable
from servery_worker import stream_frames
from servery_worker.wire import Asked, Outcome, WireError

CREDITS = 16
"""How many events of a stream may be on their way to a caller that does not take them."""
RETRY_AFTER_SECONDS = 1


class Listener(Protocol):
    """Port: what a caller hears of its stream. Events, then exactly one of the other two, unless the caller has left.
    No method may raise or wait.
    """

    def on_event(self, stream: Stream, event: bytes) -> None:
        """An event, as the media type's protocol has it. ``stream.take`` says when the caller takes more."""

    def on_end(self, stream: Stream, outcome: Outcome, sentence: bytes) -> None:
        """The model has said all, or the outcome is why not, as in an ``Answer``."""

    def on_refusal(self, stream: Stream, error: ServeryError) -> None:
        """It ends with an error of ours: its deadline has passed, or its worker has ended."""


class Stream:
    """A body to be answered in pieces, until it has ended or its caller has left.

    Made by the protocol adapter, held by one worker. Not thread-safe: it lives on the gateway's event loop.
    """

    held_max: int | None = None
    """How many of its kind one worker may hold, where that is less than its streams in all."""

    __slots__ = (
        "arrived",
        "asked",
        "credits",
        "deadline",
        "events",
        "first_event",
        "holder",
        "listener",
        "number",
        "seconds",
        "settled",
        "timeout_seconds",
    )

    def __init__(
        self,
        asked: Asked,
        *,
        number: int,
        arrived: float,
        first_event_seconds: float,
        seconds: float,
        listener: Listener,
    ) -> None:
        self.number = number
        """Unique on its gateway; the worker repeats it with every event."""
        self.asked = asked
        self.arrived = arrived
        self.timeout_seconds = first_event_seconds
        self.deadline = arrived + first_event_seconds
        """By when the first event must have come, or, once it has, the end."""
        self.seconds = seconds
        """How long all of it may take."""
        self.listener = listener
        self.holder: WorkerStreams | None = None
        self.credits = CREDITS
        self.events = 0
        self.first_event = arrived
        """When it came; until then the time of arrival."""
        self.settled = False

    def take(self, count: int) -> None:
        """The caller takes ``count`` more events."""
        if not self.settled and self.holder is not None:
            self.credits += count
            self.holder.send(stream_frames.encode_credit(self.number, count))

    def taken(self, count: int) -> None:
        """The worker has taken so many bytes of a body that was to come; here it came with the opening."""
        raise WireError(f"{count} bytes taken of a body that came as a whole")

    def cancel(self) -> None:
        """The caller has left: nobody is told any more, and the model's generator is closed."""
        if not self.settled:
            self.settled = True
            if self.holder is not None:
                self.holder.cancel(self)

    def refuse(self, error: ServeryError) -> None:
        if not self.settled:
            self.cancel()
            self.listener.on_refusal(self, error)


class WorkerStreams:
    """The streams of one worker. ``on_end`` is called each time that it holds one fewer."""

    def __init__(
        self, clock: Clock, write: Callable[[Sequence[bytes | memoryview]], None], on_end: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._write = write
        self._on_end = on_end
        self._held: dict[int, Stream] = {}
        self._cancelled: dict[int, float] = {}
        """Of these, the ones that the worker was told to close, and when."""
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def unsettled(self) -> int:
        return sum(not stream.settled for stream in self._held.values())

    def open(self, stream: Stream) -> None:
        self._held[stream.number] = stream
        self._empty.clear()
        stream.holder = self
        self._write(stream_frames.encode_open(stream.number, stream.asked, stream.credits))

    def send(self, *pieces: bytes) -> None:
        self._write(pieces)

    def cancel(self, stream: Stream) -> None:
        if stream.number in self._held:
            self._cancelled[stream.number] = self._clock.monotonic()
            self.send(stream_frames.encode_cancel(stream.number))

    def event(self, payload: bytes) -> None:
        """An EVENT frame came; raises WireError where the worker breaks the protocol."""
        number, event = stream_frames.decode_event(payload)
        stream = self._held.get(number)
        if stream is None or stream.credits < 1:
            raise WireError("an event that nobody has asked for")
        if stream.settled:
            return
        stream.credits -= 1
        if stream.events == 0:
            stream.first_event = self._clock.monotonic()
            stream.deadline, stream.timeout_seconds = stream.arrived + stream.seconds, stream.seconds
        stream.events += 1
        stream.listener.on_event(stream, event)

    def credit(self, payload: bytes) -> None:
        """A CREDIT frame came: so many bytes of a body are taken; raises WireError as ``event`` does."""
        try:
            number, count = stream_frames.decode_credit(memoryview(payload))
        except struct.error as error:
            raise WireError(f"a CREDIT that is none: {error}") from None
        stream = self._held.get(number)
        if stream is None:
            raise WireError("credits for a stream that nobody has opened")
        stream.taken(count)

    def end(self, payload: bytes) -> None:
        """An END frame came; raises WireError as ``event`` does."""
        number, outcome, sentence = stream_frames.decode_end(payload)
        stream = self._held.pop(number, None)
        if stream is None:
            raise WireError("the end of a stream that nobody has opened")
        self._cancelled.pop(number, None)
        if not stream.settled:
            stream.settled = True
            stream.listener.on_end(stream, outcome, sentence)
        self._fewer()

    def refuse_expired(self, now: float) -> None:
        for stream in tuple(self._held.values()):
            if stream.deadline <= now:
                stream.refuse(DeadlinePassed(stream.timeout_seconds))

    def hang(self, now: float, seconds_max: float) -> bool:
        """Whether one was to be closed longer ago than any model may take for a step."""
        return any(now - since > seconds_max for since in self._cancelled.values())

    def lose(self) -> None:
        """The worker has ended."""
        lost = tuple(self._held.values())
        self._held.clear()
        self._cancelled.clear()
        for stream in lost:
            message = "The model's process ended before its answer did."
            stream.refuse(Unavailable(message, retry_after_seconds=RETRY_AFTER_SECONDS))
        if lost:
            self._fewer()

    async def drained(self) -> None:
        """Wait until there are none."""
        await self._empty.wait()

    def _fewer(self) -> None:
        if not self._held:
            self._empty.set()
        self._on_end()
