"""The client's calls for predictions."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from servery.client.predictions.calls import Calls, Question
from servery.client.predictions.connections import Connections
from servery.client.predictions.parts import AnswerInParts
from servery.client.predictions.questions import STREAM_TIMEOUT_SECONDS, Questions
from servery.client.predictions.steps import Interrupted
from servery.client.records import Prediction


class PredictCalls:
    """What :class:`servery.Client` knows of predictions."""

    def __init__(self, calls: Calls, connections: Connections, questions: Questions) -> None:
        self._calls = calls
        self._connections = connections
        self._questions = questions

    def predict(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> Any:
        """The model's predictions for ``data``: a frame, an array, a list, one value, or a mapping of columns.

        ``endpoint`` is None for the one model of a client that was given a ``gateway``. ``timeout_seconds`` is for all
        attempts together.

        Raises:
            InvalidInput: the data has no form, or an argument holds what it may not; nothing was sent.
            NotFound: there is no such endpoint.
            RequestRefused, ModelFailed, Overloaded, AnswerLate, Unreachable, AccessDenied, RemoteError: as
                ``servery.errors`` has them.
        """
        return self.prediction(
            endpoint, data, params, timeout_seconds=timeout_seconds, request_id=request_id
        ).predictions

    def prediction(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """As :meth:`predict`, with what the gateway said besides: version, request id, coerced columns."""
        question = self._questions.of_data(
            endpoint, data, params, timeout_seconds=timeout_seconds, request_id=request_id
        )
        return self._connections.run(self._calls.predict(question))

    def ask(
        self,
        endpoint: str | None,
        body: bytes,
        content_type: str = "application/json",
        *,
        timeout_seconds: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """Send a ready body, as ``/invocations`` takes them. Otherwise as :meth:`prediction`."""
        question = self._questions.of_body(
            endpoint, body, content_type, timeout_seconds=timeout_seconds, request_id=request_id
        )
        return self._connections.run(self._calls.predict(question))

    def predict_stream(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        stream_timeout_seconds: float = STREAM_TIMEOUT_SECONDS,
        request_id: str | None = None,
    ) -> PredictionStream:
        """The parts of the model's answer, each as soon as it is there; a model that does not stream gives one.

        The request is sent when the first part is asked for; until then it is tried again as any other, and after that
        never. ``timeout_seconds`` is for its beginning. Raises as :meth:`predict`, then; and StreamBroken.
        """
        question = self._questions.of_stream(
            endpoint,
            data,
            params,
            timeout_seconds=timeout_seconds,
            stream_timeout_seconds=stream_timeout_seconds,
            request_id=request_id,
        )
        return PredictionStream(self._calls, self._connections, question)


class PredictionStream(AnswerInParts):
    """The parts of one answer, for one thread, once. Closing it early ends the model's work on it."""

    def __init__(self, calls: Calls, connections: Connections, question: Question) -> None:
        super().__init__(question)
        self._calls = calls
        self._connections = connections
        self._parts = self._run()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._parts.close()

    def _run(self) -> Generator[Any, None, None]:
        opened = self._connections.run(self._calls.open_stream(self._question))
        reader = self._reader = opened.reader
        try:
            for chunk in opened.body:
                yield from reader.feed(chunk)
            yield from reader.end()
        except Interrupted as interrupted:
            if not reader.is_over:
                raise reader.broken(interrupted.lost) from None
        finally:
            opened.body.close()
