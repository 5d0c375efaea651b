"""An Arrow stream that is answered while it comes in, on its way to a worker and back."""

from __future__ import annotations

from collections.abc import Callable

from servery.workers.stream import Listener, Stream
from servery_worker import stream_frames
from servery_worker.stream_frames import FLOW_BYTES_MAX
from servery_worker.wire import Asked


class Flow(Stream):
    """A stream whose body is sent after it; ``on_room`` is called when more of it may be.

    It has no deadline as a whole, for it may be of any length: it is over when nothing has moved for ``still_seconds``
    though there was something to do.
    """

    held_max = 8
    """Each may have a record batch in the worker's memory, as it was sent and as it is predicted."""

    __slots__ = ("_on_room", "room")

    def __init__(
        self,
        asked: Asked,
        *,
        number: int,
        arrived: float,
        still_seconds: float,
        listener: Listener,
        on_room: Callable[[], None],
    ) -> None:
        super().__init__(
            asked,
            number=number,
            arrived=arrived,
            first_event_seconds=still_seconds,
            seconds=still_seconds,
            listener=listener,
        )
        self.room = FLOW_BYTES_MAX
        """How many bytes of the body may still be sent; what a connection has read already is sent all the same."""
        self._on_room = on_room

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        if not self.settled and self.holder is not None and data:
            self.room -= len(data)
            self.holder.send(*stream_frames.encode_chunk(self.number, data))

    def close(self) -> None:
        """All of the body has been fed."""
        if not self.settled and self.holder is not None:
            self.holder.send(*stream_frames.encode_chunk(self.number, b""))

    def taken(self, count: int) -> None:
        """The worker has taken so many bytes."""
        self.room += count
        self._on_room()
