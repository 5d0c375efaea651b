"""An answer in pieces to one request of a ``ModelStreamInfer``: a ``ModelInferResponse`` for each thing that the model
yields, as its caller takes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from servery.errors import ServeryError
from servery.serving.event_stream import CALLER_LEFT
from servery.serving.grpc.codes import Failure, failure_of_answer, failure_of_error
from servery.serving.targets import Choice
from servery.workers.stream import Stream
from servery_worker.wire import Outcome


class Pieces:
    """The listener of one stream of a worker's; read as an iterator, once. The last is a Failure where it failed."""

    def __init__(self, id_: str, model: str, choice: Choice, *, wants_final: bool) -> None:
        self.id = id_
        """The caller's own, of the request."""
        self.model = model
        self.choice = choice
        self.wants_final = wants_final
        """An empty answer is to say that there are no more."""
        self.stream: Stream
        self._heard: asyncio.Queue[bytes | Failure | None] = asyncio.Queue()

    def on_event(self, stream: Stream, event: bytes) -> None:  # noqa: ARG002
        self._heard.put_nowait(event)  # The stream's credits bound how many there are.

    def on_end(self, stream: Stream, outcome: Outcome, sentence: bytes) -> None:
        self._end(stream, None if outcome is Outcome.OK else failure_of_answer(outcome, sentence))

    def on_refusal(self, stream: Stream, error: ServeryError) -> None:
        self._end(stream, failure_of_error(error))

    async def __aiter__(self) -> AsyncIterator[bytes | Failure]:
        while (heard := await self._heard.get()) is not None:
            yield heard
            if isinstance(heard, Failure):
                return
            self.stream.take(1)

    def abandon(self) -> None:
        """The caller has left, or has it all."""
        if not self.stream.settled:
            self.stream.cancel()
            self._count(self.stream, CALLER_LEFT)

    def _end(self, stream: Stream, last: Failure | None) -> None:
        self._count(stream, 200 if last is None else last.status)
        self._heard.put_nowait(last)

    def _count(self, stream: Stream, status: int) -> None:
        self.choice.counts.add(status, stream.first_event - stream.arrived)
