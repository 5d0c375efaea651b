"""What the bytes of an answer that comes in parts say: the events' values, until the one that ends them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from servery.client.predictions.events import EventReader
from servery.client.predictions.steps import Deadline, Loss, Lost
from servery.errors import AnswerLate, ModelFailed, RemoteError, StreamBroken

_END = "[DONE]"
"""What OpenAI's protocol ends with. MLflow's has no last event: there the message ends as HTTP has it."""
_ERROR_FIELDS = frozenset({"error", "error_code"})
"""Those of the event that tells a failure."""


class StreamReader:
    """Bytes of one stream in, values out. ``is_over`` tells that the server has said all."""

    def __init__(self, headers: Mapping[str, str], deadline: Deadline, request_id: str) -> None:
        self.model_version = headers.get("x-model-version")
        self.request_id = headers.get("x-request-id", request_id)
        self.is_over = False
        self._is_events = headers.get("content-type", "").partition(";")[0].strip() == "text/event-stream"
        self._ends_by_itself = "transfer-encoding" in headers or "content-length" in headers
        self._deadline = deadline
        self._events = EventReader()
        self._whole: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """The values that are whole by now.

        Raises:
            ModelFailed, RemoteError: the server says that there will be no more, and why.
            StreamBroken: what came is no stream of events.
        """
        if not self._is_events:
            self._whole.append(chunk)
            return
        try:
            for _, data in self._events.feed(chunk):
                if data == _END:
                    self.is_over = True
                elif not self.is_over:
                    yield self._value(json.loads(data))
        except ValueError as error:
            raise self._known(StreamBroken(f"The stream cannot be read: {error}.")) from None

    def end(self) -> Iterator[Any]:
        """There are no more bytes. A server that does not stream has given its whole answer by now.

        Raises:
            StreamBroken: the server had more to say.
        """
        if not self._is_events:
            try:
                answer = json.loads(b"".join(self._whole))
            except ValueError:
                raise self._known(RemoteError("The answer is no JSON; is it a scoring server?")) from None
            self.is_over = True
            yield answer["predictions"] if isinstance(answer, dict) and "predictions" in answer else answer
        elif not self.is_over and not self._ends_by_itself:
            raise self._known(StreamBroken("The stream ended, and nothing says that it was whole."))

    def broken(self, lost: Lost) -> RemoteError:
        """The error that stands for bytes that do not come."""
        seconds = self._deadline.timeout_seconds
        if lost.loss is Loss.LATE:
            return self._known(AnswerLate(f"The stream did not end within {seconds:g} s.", timeout_seconds=seconds))
        return self._known(StreamBroken(f"The stream broke off ({lost.detail})."))

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == _ERROR_FIELDS:
            raise self._known(self._failure(str(value["error"]), str(value["error_code"])))
        return value

    def _failure(self, message: str, code: str) -> RemoteError:
        if code == "DEADLINE_EXCEEDED":
            return AnswerLate(message, timeout_seconds=self._deadline.timeout_seconds, error_code=code)
        kind = StreamBroken if code == "TEMPORARILY_UNAVAILABLE" else ModelFailed
        return kind(message, error_code=code)

    def _known(self, error: RemoteError) -> RemoteError:
        error.request_id, error.model_version = self.request_id, self.model_version
        return error
