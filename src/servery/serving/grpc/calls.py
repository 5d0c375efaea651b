"""``ModelInfer`` and ``ModelStreamInfer``: requests reach the workers as the bytes that they came as, and so do answers
their callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import grpc

from servery.errors import InvalidInput, ServeryError, Unavailable
from servery.serving.answers import coerced_names
from servery.serving.batcher import RETRY_AFTER_SECONDS
from servery.serving.exchange import request_id_of
from servery.serving.grpc.codes import Failure, Metadata, failure_of_answer, failure_of_error
from servery.serving.grpc.head import Head, read_head
from servery.serving.site import Site
from servery.serving.targets import Choice
from servery.workers.request import Answer, Request
from servery_worker.oip.protobuf import bytes_field, bytes_head, number_field, text_field
from servery_worker.wire import Asked, MediaType, Outcome

STREAM_REQUESTS_MAX = 256
"""How many requests of one stream may be under way; the next is read when the first of them is answered."""
_FINAL = bytes_field(4, text_field(1, "triton_final_response") + bytes_field(2, number_field(1, True)))
"""The parameter by which Triton's clients know the last answer to a request of a stream."""

Context = grpc.aio.ServicerContext[bytes, bytes]


class Pending(NamedTuple):
    """A request on its way, and what comes of it."""

    id: str
    """The caller's own."""
    model: str
    request: Request
    choice: Choice
    settled: asyncio.Future[Answer | ServeryError]


class Refused(NamedTuple):
    """A request that was not taken."""

    id: str
    failure: Failure


class Inference:
    """Both calls. Lives on the gateway's event loop."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def infer(self, body: bytes, context: Context) -> bytes:
        """A ``ModelInferResponse`` for a ``ModelInferRequest``."""
        asked = self._ask(body, context)
        metadata = [("x-request-id", self._request_id(context))]
        if isinstance(asked, Refused):
            await asked.failure.abort(context, metadata)
        answer, more = await self._settle(asked)
        metadata += more
        if isinstance(answer, Failure):
            await answer.abort(context, metadata)
        context.set_trailing_metadata(tuple(metadata))
        return answer

    async def stream(self, bodies: AsyncIterator[bytes], context: Context) -> None:
        """A ``ModelStreamInferResponse``, or several, for each ``ModelInferRequest``, in the order of the requests; one
        that fails does not end the stream.
        """
        stream = _Stream(bodies, lambda body: self._ask(body, context))
        self._site.connections.add(stream)
        try:
            async for asked in stream:
                async for answer in self._answers(asked):
                    await context.write(answer)
        finally:
            self._site.connections.discard(stream)
            stream.abandon()
        if stream.cut_short:
            ends = Unavailable("The gateway ends; open another stream.", retry_after_seconds=RETRY_AFTER_SECONDS)
            await failure_of_error(ends).abort(context)

    async def _answers(self, asked: Pending | Refused) -> AsyncIterator[bytes]:
        """What a stream is told of one request. One answer today; a model that yields several has a place here."""
        answer: bytes | Failure
        if isinstance(asked, Refused):
            answer = asked.failure
        else:
            answer, _ = await self._settle(asked)
        if isinstance(answer, Failure):
            yield text_field(1, answer.message) + bytes_field(2, text_field(3, asked.id))
        else:
            yield b"".join((bytes_head(2, len(answer) + len(_FINAL)), answer, _FINAL))

    def _ask(self, body: bytes, context: Context) -> Pending | Refused:
        id_ = ""
        try:
            head = read_head(body)
            id_ = head.id
            return self._admit(head, body, context.time_remaining())
        except ServeryError as error:
            failure = failure_of_error(error)
            self._site.count_other(failure.status)
            return Refused(id_, failure)

    def _admit(self, head: Head, body: bytes, call_seconds: float | None) -> Pending:
        if not head.model:
            raise InvalidInput("model_name", expected="the name of an endpoint", got="")
        target, choices = self._site.oip.choices(head.model, head.version or None)
        pinned = choices[0] if head.version else None
        settled: asyncio.Future[Answer | ServeryError] = asyncio.get_running_loop().create_future()
        bounds = (self._site.request_timeout_seconds, call_seconds, head.timeout_seconds)
        request = Request(
            Asked(MediaType.OIP_PROTOBUF, body, target.options),
            number=next(self._site.numbers),
            arrived=self._site.clock.monotonic(),
            timeout_seconds=min(bound for bound in bounds if bound is not None),
            on_answer=lambda _, answer: _settle(settled, answer),
            on_refusal=lambda _, error: _settle(settled, error),
        )
        return Pending(head.id, head.model, request, target.admit(request, pinned), settled)

    async def _settle(self, pending: Pending) -> tuple[bytes | Failure, Metadata]:
        """The answer, counted, and what its trailing metadata say."""
        request, choice = pending.request, pending.choice
        try:
            settled = await pending.settled
        except asyncio.CancelledError:
            request.abandon()
            raise
        metadata = [("x-model-version", choice.header.decode())]
        answer: bytes | Failure
        if isinstance(settled, ServeryError):
            answer = failure_of_error(settled)
        elif settled.outcome is Outcome.OK:
            version = choice.served.pool.spec.version
            answer = b"".join((text_field(1, pending.model), text_field(2, str(version)), settled.body))
        else:
            answer = failure_of_answer(settled.outcome, settled.body)
        if isinstance(settled, Answer):
            batch = settled.batch_requests, request.arrived, settled.queue_seconds, settled.timings
            choice.counts.add_batch(*batch)
            if settled.coerced:
                choice.counts.add_coerced()
                metadata.append(("x-servery-coerced", coerced_names(settled.coerced).decode()))
        status = answer.status if isinstance(answer, Failure) else 200
        choice.counts.add(status, self._site.clock.monotonic() - request.arrived)
        return answer, metadata

    def _request_id(self, context: Context) -> str:
        given = dict(context.invocation_metadata() or ()).get("x-request-id")
        own = request_id_of(given.encode()) if isinstance(given, str) else None
        return (own or self._site.new_request_id()).decode()


class _Stream:
    """The requests of one stream, read ahead of their answers; to the site, one connection."""

    def __init__(self, bodies: AsyncIterator[bytes], ask: Callable[[bytes], Pending | Refused]) -> None:
        self.cut_short = False
        """The gateway ended it, and not the caller."""
        self._asked: asyncio.Queue[Pending | Refused | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(STREAM_REQUESTS_MAX)
        self._reading = asyncio.ensure_future(self._read(bodies, ask))

    def check(self, second: int) -> None:
        """A stream may be silent for as long as its connection lives."""

    def close_when_idle(self) -> None:
        """What has been read is answered, then it ends."""
        if not self._reading.done():
            self.cut_short = True
            self._reading.cancel()

    async def __aiter__(self) -> AsyncIterator[Pending | Refused]:
        while (asked := await self._asked.get()) is not None:
            yield asked
            self._room.release()
        if not self.cut_short:
            await self._reading

    def abandon(self) -> None:
        """Whoever waits for answers is gone, or has them all."""
        self._reading.cancel()
        while not self._asked.empty():
            asked = self._asked.get_nowait()
            if isinstance(asked, Pending):
                asked.request.abandon()

    async def _read(self, bodies: AsyncIterator[bytes], ask: Callable[[bytes], Pending | Refused]) -> None:
        try:
            async for body in bodies:
                await self._room.acquire()
                self._asked.put_nowait(ask(body))
        finally:
            self._asked.put_nowait(None)


def _settle(future: asyncio.Future[Answer | ServeryError], said: Answer | ServeryError) -> None:
    if not future.done():
        future.set_result(said)
