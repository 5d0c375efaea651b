"""What the gateway reads of a request of the Open Inference Protocol: its head, and of its JSON only the timeout."""

from __future__ import annotations

import pytest

from servery.errors import InvalidInput, UnsupportedMediaType
from servery.serving.dialects.dialect import Refusal
from servery.serving.dialects.oip import OipDialect
from servery_worker.wire import Asked, MediaType, Options

LENGTH = b"inference-header-content-length"
TYPE = b"content-type"
DIALECT = OipDialect()


@pytest.mark.parametrize(
    "head",
    [
        {},
        {TYPE: b"application/json"},
        {TYPE: b"Application/JSON; charset=utf-8"},
        {TYPE: b"application/x-www-form-urlencoded"},
    ],
)
def test_a_body_is_json_unless_the_head_says_otherwise(head: dict[bytes, bytes]) -> None:
    assert DIALECT.ask(head, b"{}", Options(0)) == Asked(MediaType.OIP, b"{}", Options(0))


def test_the_length_of_the_json_says_where_raw_data_begin() -> None:
    assert DIALECT.ask({LENGTH: b"2"}, b"{}raw", Options.STRICT).head_bytes == 2
    assert DIALECT.ask({LENGTH: b"0"}, b"raw", Options.STRICT).options == Options.STRICT | Options.RAW_TENSOR


@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"3", b"9" * 30, b"1.5", "²".encode("latin-1")])
def test_a_length_that_is_none_is_refused_by_its_name(value: bytes) -> None:
    with pytest.raises(InvalidInput, match="'Inference-Header-Content-Length': expected a number of bytes from 0 to"):
        DIALECT.ask({LENGTH: value}, b"{}", Options(0))


def test_binary_data_without_the_length_of_the_json_are_refused() -> None:
    with pytest.raises(Refusal, match="The header Inference-Header-Content-Length is missing"):
        DIALECT.ask({TYPE: b"application/octet-stream"}, b"{}", Options(0))


def test_another_media_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="'text/csv'"):
        DIALECT.ask({TYPE: b"text/csv"}, b"a", Options(0))


@pytest.mark.parametrize(
    ("head", "body", "seconds"),
    [
        ({}, b'{"parameters": {"timeout": 1500}}', 0.0015),
        ({}, b'{"parameters": {"timeout" : 0}}', 60),
        ({}, b'{"parameters": {"timeout": 99000000}}', 60),
        ({}, b'{"inputs": [{"data": ["timeout", "\\"timeout\\": 5"]}]}', 60),
        ({}, b'{"parameters": {"timeout": "5"}}', 60),
        ({b"x-request-timeout-ms": b"100"}, b'{"parameters": {"timeout": 200000}}', 0.1),
        ({b"x-request-timeout-ms": b"300"}, b'{"parameters": {"timeout": 200000}}', 0.2),
    ],
)
def test_the_shortest_timeout_counts(head: dict[bytes, bytes], body: bytes, seconds: float) -> None:
    asked = Asked(MediaType.OIP, body)
    assert DIALECT.timeout_seconds(head, asked, default_seconds=60) == seconds


def test_a_timeout_is_looked_for_in_the_json_alone() -> None:
    asked = Asked(MediaType.OIP, b'{}"timeout": 5', head_bytes=2)
    assert DIALECT.timeout_seconds({}, asked, default_seconds=60) == 60
