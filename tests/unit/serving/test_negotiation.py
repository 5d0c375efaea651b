"""What a caller prefers, by tables."""

from __future__ import annotations

import pytest

from servery.errors import NotAcceptable
from servery.serving.negotiation import answer_type_of
from servery_worker.wire import AnswerType

ARROW, PARQUET = b"application/vnd.apache.arrow.stream", b"application/vnd.apache.parquet"


@pytest.mark.parametrize(
    ("accept", "answer_type"),
    [
        (None, AnswerType.JSON),
        (b"", AnswerType.JSON),
        (b"*/*", AnswerType.JSON),
        (b"application/*", AnswerType.JSON),
        (b"application/json", AnswerType.JSON),
        (b"text/html, application/xhtml+xml, */*;q=0.8", AnswerType.JSON),
        (ARROW, AnswerType.ARROW),
        (b"Application/VND.apache.ARROW.stream", AnswerType.ARROW),
        (PARQUET, AnswerType.PARQUET),
        (ARROW + b", application/json", AnswerType.JSON),
        (ARROW + b", application/json;q=0.9", AnswerType.ARROW),
        (ARROW + b", */*;q=0.1", AnswerType.ARROW),
        (ARROW + b";q=0.5, " + PARQUET + b" ; q=0.7", AnswerType.PARQUET),
        (b"application/json;q=0, */*", AnswerType.ARROW),
        (b"application/*;q=0.2, " + PARQUET, AnswerType.PARQUET),
        (b"text/csv, application/json; charset=utf-8", AnswerType.JSON),
        (b"text/event-stream", AnswerType.JSON),
    ],
)
def test_the_answer_has_the_form_that_the_caller_likes_best(accept: bytes | None, answer_type: AnswerType) -> None:
    assert answer_type_of(accept) is answer_type


@pytest.mark.parametrize(
    "accept", [b"text/csv", b"*/*;q=0", b"application/json;q=0", ARROW + b";q=nan", b"image/*;q=2"]
)
def test_a_caller_that_takes_nothing_that_there_is_is_told_what_there_is(accept: bytes) -> None:
    with pytest.raises(NotAcceptable, match=r"Accept '.*' takes nothing that there is: application/json, .*parquet\."):
        answer_type_of(accept)
