"""The asyncio twin of the client: the same calls for predictions, decided by the same code."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from random import Random
from types import TracebackType
from typing import Any, Self

from servery.client.predictions.async_connections import AsyncConnections
from servery.client.predictions.calls import Calls, Question
from servery.client.predictions.parts import AnswerInParts
from servery.client.predictions.questions import STREAM_TIMEOUT_SECONDS, Questions, calls_of, server_of
from servery.client.predictions.retries import RetryPolicy
from servery.client.predictions.steps import Interrupted
from servery.client.records import Prediction
from servery.clock import Clock, SystemClock


class AsyncClient:
    """Predictions from a server's gateways, in one event loop. Connections are reused; close it, or use ``async with``.

    Any number of tasks may use it at once; those beyond ``connections_max`` wait for a connection, in their own time.
    Arguments, answers and errors are those of :class:`servery.Client`, which knows the registry and
    deployments besides.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        gateway: str | None = None,
        timeout_seconds: float = 60.0,
        retries: RetryPolicy | None = None,
        connections_max: int = 64,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._calls = calls_of(
            control=server_of(server),
            gateway=gateway,
            retries=retries or RetryPolicy(),
            clock=clock,
            random=random or Random(),  # noqa: S311 - jitter is no secret
        )
        self._connections = AsyncConnections(clock, connections_max=connections_max)
        self._questions = Questions(timeout_seconds=timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connections.close()

    async def predict(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        """See :meth:`servery.Client.predict`."""
        answer = await self.prediction(endpoint, data, params, timeout_seconds=timeout_seconds, request_id=request_id)
        return answer.predictions

    async def prediction(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """See :meth:`servery.Client.prediction`."""
        question = self._questions.of_data(
            endpoint, data, params, timeout_seconds=timeout_seconds, request_id=request_id
        )
        return await self._connections.run(self._calls.predict(question))

    async def ask(
        self,
        endpoint: str | None,
        body: bytes,
        content_type: str = "application/json",
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """See :meth:`servery.Client.ask`."""
        question = self._questions.of_body(
            endpoint, body, content_type, timeout_seconds=timeout_seconds, request_id=request_id
        )
        return await self._connections.run(self._calls.predict(question))

    def predict_stream(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        stream_timeout_seconds: float = STREAM_TIMEOUT_SECONDS,
        request_id: str | None = None,
    ) -> AsyncPredictionStream:
        """See :meth:`servery.Client.predict_stream`; for ``async for``."""
        question = self._questions.of_stream(
            endpoint,
            data,
            params,
            timeout_seconds=timeout_seconds,
            stream_timeout_seconds=stream_timeout_seconds,
            request_id=request_id,
        )
        return AsyncPredictionStream(self._calls, self._connections, question)


class AsyncPredictionStream(AnswerInParts):
    """The parts of one answer, to be iterated over once. Closing it early ends the model's work on it.

    An ``async for`` that is left early closes it when it is collected; ``async with`` closes it at once.
    """

    def __init__(self, calls: Calls, connections: AsyncConnections, question: Question) -> None:
        super().__init__(question)
        self._calls = calls
        self._connections = connections
        self._parts = self._run()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._parts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._parts.aclose()

    async def _run(self) -> AsyncGenerator[Any, None]:
        opened = await self._connections.run(self._calls.open_stream(self._question))
        reader = self._reader = opened.reader
        try:
            async for chunk in opened.body:
                for part in reader.feed(chunk):
                    yield part
            for part in reader.end():
                yield part
        except Interrupted as interrupted:
            if not reader.is_over:
                raise reader.broken(interrupted.lost) from None
        finally:
            await opened.body.close()
