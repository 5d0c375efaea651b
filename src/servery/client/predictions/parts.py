"""What is known of an answer that comes in parts, whoever waits for them: a thread or an event loop."""

from __future__ import annotations

from servery.client.predictions.calls import Question
from servery.client.predictions.streaming import StreamReader


class AnswerInParts:
    def __init__(self, question: Question) -> None:
        self._question = question
        self._reader: StreamReader | None = None

    @property
    def model_version(self) -> str | None:
        """The version that answers; None before the first part."""
        return None if self._reader is None else self._reader.model_version

    @property
    def request_id(self) -> str:
        return self._question.request_id if self._reader is None else self._reader.request_id
