"""``ModelInfer`` and ``ModelStreamInfer``: requests reach the workers as the bytes that they came as, and so do answers
their callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, TypeVar

import grpc

from servery.errors import InvalidInput, ServeryError, Unavailable
from servery.serving.answers import coerced_names
from servery.serving.batcher import RETRY_AFTER_SECONDS
from servery.serving.exchange import request_id_of
from servery.serving.grpc.codes import Failure, Metadata, failure_of_answer, failure_of_error
from servery.serving.grpc.head import Head, read_head
from servery.serving.grpc.incoming import Incoming
from servery.serving.grpc.pieces import Pieces
from servery.serving.site import Site
from servery.serving.targets import Choice, Target
from servery.workers.request import Answer, Request
from servery.workers.stream import Stream
from servery_worker.oip.protobuf import bytes_field, bytes_head, number_field, text_field
from servery_worker.wire import Asked, MediaType, Outcome

_FINAL, _NOT_FINAL = (
    bytes_field(4, text_field(1, "triton_final_response") + bytes_field(2, number_field(1, is_final)))
    for is_final in (True, False)
)
"""The parameter by which Triton's clients know the last answer to a request of a stream."""

Context = grpc.aio.ServicerContext[bytes, bytes]


T = TypeVar("T")


class _Asking(NamedTuple):
    """What one request asks for."""

    head: Head
    target: Target
    choice: Choice
    asked: Asked
    bounds: Sequence[float]
    """Within how many seconds, by whatever the caller has said."""


class Pending(NamedTuple):
    """A request on its way, and what comes of it."""

    id: str
    """The caller's own."""
    model: str
    request: Request
    choice: Choice
    settled: asyncio.Future[Answer | ServeryError]

    def abandon(self) -> None:
        """The caller has left, or has it all."""
        self.request.abandon()


class Refused(NamedTuple):
    """A request that was not taken."""

    id: str
    failure: Failure

    def abandon(self) -> None:
        """There is nothing to give up."""


class Inference:
    """Both calls. Lives on the gateway's event loop."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def infer(self, body: bytes, context: Context) -> bytes:
        """A ``ModelInferResponse`` for a ``ModelInferRequest``."""
        asked = self._ask(body, context, self._queue)
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
        stream = Incoming(bodies, lambda body: self._ask(body, context, self._open))
        self._site.connections.add(stream)
        try:
            async for asked in stream:
                try:
                    async for answer in self._answers(asked):
                        await context.write(answer)
                finally:
                    asked.abandon()
        finally:
            self._site.connections.discard(stream)
            stream.abandon()
        if stream.cut_short:
            ends = Unavailable("The gateway ends; open another stream.", retry_after_seconds=RETRY_AFTER_SECONDS)
            await failure_of_error(ends).abort(context)

    async def _answers(self, asked: Pending | Pieces | Refused) -> AsyncIterator[bytes]:
        """What a stream is told of one request: a model that answers in pieces has several answers to it."""
        if isinstance(asked, Pieces):
            prefix = _prefix(asked.model, asked.choice)
            async for piece in asked:
                yield _message(asked.id, piece if isinstance(piece, Failure) else prefix + piece, _NOT_FINAL)
                if isinstance(piece, Failure):
                    return
            if asked.wants_final:
                yield _message(asked.id, prefix + text_field(3, asked.id), _FINAL)
        elif isinstance(asked, Refused):
            yield _message(asked.id, asked.failure, _FINAL)
        else:
            answer, _ = await self._settle(asked)
            yield _message(asked.id, answer, _FINAL)

    def _ask(self, body: bytes, context: Context, admit: Callable[[_Asking], T]) -> T | Refused:
        id_ = ""
        try:
            head = read_head(body)
            id_ = head.id
            return admit(self._asking(head, body, context.time_remaining()))
        except ServeryError as error:
            failure = failure_of_error(error)
            self._site.count_other(failure.status)
            return Refused(id_, failure)

    def _asking(self, head: Head, body: bytes, call_seconds: float | None) -> _Asking:
        """What a request asks for; raises ServeryError where there is no such thing."""
        if not head.model:
            raise InvalidInput("model_name", expected="the name of an endpoint", got="")
        target, choices = self._site.oip.choices(head.model, head.version or None)
        choice = choices[0] if head.version else target.choose()
        bounds = [seconds for seconds in (call_seconds, head.timeout_seconds) if seconds is not None]
        return _Asking(head, target, choice, Asked(MediaType.OIP_PROTOBUF, body, target.options), bounds)

    def _queue(self, asking: _Asking) -> Pending:
        """To be answered once."""
        head, target, choice, asked, bounds = asking
        settled: asyncio.Future[Answer | ServeryError] = asyncio.get_running_loop().create_future()
        request = Request(
            asked,
            number=next(self._site.numbers),
            arrived=self._site.clock.monotonic(),
            timeout_seconds=min([self._site.request_timeout_seconds, *bounds]),
            on_answer=lambda _, answer: _settle(settled, answer),
            on_refusal=lambda _, error: _settle(settled, error),
        )
        return Pending(head.id, head.model, request, target.admit(request, choice), settled)

    def _open(self, asking: _Asking) -> Pending | Pieces:
        """To be answered in pieces, where the model does so."""
        head, target, choice, asked, bounds = asking
        if not choice.streams:
            return self._queue(asking)
        pieces = Pieces(head.id, head.model, choice, wants_final=head.wants_final)
        pieces.stream = Stream(
            asked,
            number=next(self._site.numbers),
            arrived=self._site.clock.monotonic(),
            first_event_seconds=min([self._site.request_timeout_seconds, *bounds]),
            seconds=min([self._site.stream_timeout_seconds, *bounds]),
            listener=pieces,
        )
        target.open(pieces.stream, choice)
        return pieces

    async def _settle(self, pending: Pending) -> tuple[bytes | Failure, Metadata]:
        """The answer, counted, and what its trailing metadata say."""
        request, choice = pending.request, pending.choice
        try:
            settled = await pending.settled
        finally:
            pending.abandon()
        metadata = [("x-model-version", choice.header.decode())]
        answer: bytes | Failure
        if isinstance(settled, ServeryError):
            answer = failure_of_error(settled)
        elif settled.outcome is Outcome.OK:
            answer = b"".join((_prefix(pending.model, choice), settled.body))
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


def _prefix(model: str, choice: Choice) -> bytes:
    """The fields of an answer that the worker does not know; messages one after another are one."""
    return text_field(1, model) + text_field(2, str(choice.served.pool.spec.version))


def _message(id_: str, answer: bytes | Failure, mark: bytes) -> bytes:
    """A ``ModelStreamInferResponse``."""
    if isinstance(answer, Failure):
        return text_field(1, answer.message) + bytes_field(2, text_field(3, id_))
    return b"".join((bytes_head(2, len(answer) + len(mark)), answer, mark))


def _settle(future: asyncio.Future[Answer | ServeryError], said: Answer | ServeryError) -> None:
    if not future.done():
        future.set_result(said)
