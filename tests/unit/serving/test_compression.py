"""Content codings: what is decoded, within what bounds, and how an answer is coded."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest
from backports import zstd

from servery.errors import BodyTooLarge, NotAcceptable
from servery.serving.compression import Coding, Decoding, Wanted, codings_of, encode, wanted_coding
from servery.serving.dialects.dialect import Refusal

DATA = os.urandom(100_000) + b"a" * 300_000
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)


def decoded(body: bytes, content_encoding: bytes, *, bytes_max: int = 1 << 20) -> bytes:
    whole = Decoding(body, codings_of(content_encoding), bytes_max=bytes_max).run()
    assert whole is not None
    return whole


@pytest.mark.parametrize(
    ("content_encoding", "body"),
    [
        pytest.param(b"identity", DATA, id="as it is"),
        pytest.param(b"gzip", gzip.compress(DATA), id="gzip"),
        pytest.param(b" X-GZip ", gzip.compress(DATA), id="gzip by its old name"),
        pytest.param(b"gzip", gzip.compress(DATA[:9]) + gzip.compress(DATA[9:]), id="gzip in members"),
        pytest.param(b"deflate", zlib.compress(DATA), id="deflate"),
        pytest.param(b"deflate", RAW.compress(DATA) + RAW.flush(), id="deflate without zlib's head"),
        pytest.param(b"zstd", zstd.compress(DATA), id="zstd"),
        pytest.param(b"zstd", zstd.compress(DATA[:9]) + zstd.compress(DATA[9:]), id="zstd in frames"),
        pytest.param(b"gzip, zstd", zstd.compress(gzip.compress(DATA)), id="one around another"),
        pytest.param(b"gzip", gzip.compress(b""), id="nothing"),
    ],
)
def test_a_body_is_what_its_coding_says(content_encoding: bytes, body: bytes) -> None:
    assert decoded(body, content_encoding) in (DATA, b"")


def test_a_large_body_is_decoded_in_two_goes() -> None:
    decoding = Decoding(gzip.compress(DATA), (Coding.GZIP,), bytes_max=1 << 20)
    assert decoding.run(1000) is None
    assert decoding.run() == DATA


BODIES = {coding: encode(DATA, coding) for coding in Coding}


@pytest.mark.parametrize("coding", list(Coding))
def test_what_is_cut_short_or_followed_by_more_is_refused(coding: Coding) -> None:
    body = BODIES[coding]
    for broken in (b"", body[:1], body[:100], body[:-1], body + b"more", b"no " + body):
        with pytest.raises(Refusal, match=f"The body is no {coding} data: ") as refusal:
            decoded(broken, coding.encode())
        assert refusal.value.status == 400


@pytest.mark.parametrize("coding", list(Coding))
def test_a_body_that_stands_for_more_than_bodies_may_have_is_refused_before_it_is_there(coding: Coding) -> None:
    bomb = encode(bytes(64 << 20), coding)
    assert len(bomb) < 1 << 20
    with pytest.raises(BodyTooLarge):
        decoded(bomb, coding.encode())


def test_a_zstd_window_that_would_take_much_memory_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options={int(zstd.CompressionParameter.window_log): 27})
    body = compressor.compress(DATA) + compressor.flush()
    with pytest.raises(Refusal, match="Frame requires too much memory"):
        decoded(body, b"zstd")


@pytest.mark.parametrize("content_encoding", [b"br", b"gzip, br", b"gzip, gzip, gzip", b"compress"])
def test_an_unknown_coding_is_refused_with_what_there_is(content_encoding: bytes) -> None:
    with pytest.raises(Refusal, match="zstd, gzip, deflate are, at most 2") as refusal:
        codings_of(content_encoding)
    assert (refusal.value.status, refusal.value.headers) == (415, b"Accept-Encoding: zstd, gzip, deflate\r\n")


@pytest.mark.parametrize(
    ("accept_encoding", "wanted"),
    [
        (None, Wanted()),
        (b"", Wanted()),
        (b"identity", Wanted()),
        (b"br", Wanted()),
        (b"gzip", Wanted(Coding.GZIP)),
        (b"gzip, deflate, br", Wanted(Coding.GZIP)),
        (b"gzip, deflate, br, zstd", Wanted(Coding.ZSTD)),
        (b"GZIP;q=0.5, Deflate;q=0.7", Wanted(Coding.DEFLATE)),
        (b"*", Wanted(Coding.ZSTD)),
        (b"zstd;q=0, *;q=0.1", Wanted(Coding.GZIP)),
        (b"gzip;q=0", Wanted()),
        (b"gzip;q=0.5, identity", Wanted()),
        (b"identity;q=0.5, gzip", Wanted(Coding.GZIP)),
        (b"gzip, identity;q=0", Wanted(Coding.GZIP, always=True)),
        (b"deflate, *;q=0", Wanted(Coding.DEFLATE, always=True)),
    ],
)
def test_an_answer_is_coded_as_its_caller_likes_best(accept_encoding: bytes | None, wanted: Wanted) -> None:
    assert wanted_coding(accept_encoding) == wanted


@pytest.mark.parametrize("accept_encoding", [b"identity;q=0", b"*;q=0", b"br, identity;q=0", b"gzip;q=0, *;q=0"])
def test_a_caller_that_takes_no_coding_and_not_the_answer_itself_is_told_so(accept_encoding: bytes) -> None:
    with pytest.raises(NotAcceptable, match="takes nothing that there is: zstd, gzip, deflate, identity"):
        wanted_coding(accept_encoding)
