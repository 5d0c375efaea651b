"""Content codings of bodies and answers: gzip, deflate and zstd (RFC 9110, section 8.4; RFC 9659).

A body is decoded in pieces and never beyond the limit of bodies, so that a few bytes which stand for gigabytes cost
neither memory nor time. What is small is done at once; what is larger in a thread: the event loop has other callers.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache, reduce
from http import HTTPStatus
from typing import NamedTuple, Protocol

from servery.errors import BodyTooLarge, NotAcceptable
from servery.serving.dialects.dialect import Refusal
from servery.serving.negotiation import weighted

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ANSWER_BYTES_MIN = 1024
"""A smaller answer is sent as it is: it fits one packet either way."""
INLINE_BYTES_MAX = 64 << 10
"""As much is coded on the event loop: below a millisecond."""
CODINGS_MAX = 2
"""As many may lie around one body."""
_PIECE_BYTES = 64 << 10
_WINDOW_LOG_MAX = 23
"""A zstd decoder need not take more than 8 MiB for its window (RFC 9659, section 3)."""
_LEVEL = 1
"""zlib's fastest; who wants less on the wire asks for zstd."""


class Coding(StrEnum):
    """In the order of our own preference, which decides between what a caller likes equally."""

    ZSTD = "zstd"
    GZIP = "gzip"
    DEFLATE = "deflate"


_BY_NAME = {coding.encode(): coding for coding in Coding} | {b"x-gzip": Coding.GZIP}
NAMES = ", ".join(Coding)


class Wanted(NamedTuple):
    """How a caller wants its answer coded."""

    coding: Coding | None = None
    always: bool = False
    """Also where it is small: the caller does not take it as it is."""


@lru_cache(maxsize=64)
def wanted_coding(accept_encoding: bytes | None) -> Wanted:
    """What suits the caller best, by its Accept-Encoding.

    Raises:
        NotAcceptable: it takes neither the answer as it is nor any coding that there is.
    """
    if accept_encoding is None:
        return Wanted()
    weights = dict(weighted(accept_encoding))
    others = weights.get(b"*", 0.0)
    best = max(Coding, key=lambda coding: weights.get(coding.encode(), others))
    weight = weights.get(best.encode(), others)
    refuses_plain = weights.get(b"identity", weights.get(b"*", 1.0)) <= 0
    if weight <= 0:
        if refuses_plain:
            raise NotAcceptable("Accept-Encoding", accept_encoding.decode("latin-1"), offered=(*Coding, "identity"))
        return Wanted()
    return Wanted(None if weight < weights.get(b"identity", 0.0) else best, refuses_plain)


def codings_of(content_encoding: bytes) -> tuple[Coding, ...]:
    """The codings of a body, in the order in which they were applied.

    Raises:
        Refusal: 415, one of them is unknown, or there are too many.
    """
    names = [name.strip() for name in content_encoding.lower().split(b",")]
    applied = [name for name in names if name not in (b"", b"identity")]
    if len(applied) > CODINGS_MAX or not all(name in _BY_NAME for name in applied):
        # As RFC 9110, section 12.5.3, has it: the answer says what is taken.
        message = (
            f"Content-Encoding '{content_encoding.decode('latin-1')[:100]}' is not supported; "
            f"{NAMES} are, at most {CODINGS_MAX} one after another."
        )
        headers = b"Accept-Encoding: %b\r\n" % NAMES.encode()
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", message, headers=headers)
    return tuple(_BY_NAME[name] for name in applied)


class Decoding:
    """A body on its way to what it stands for; belongs to one thread at a time."""

    def __init__(self, body: bytes, codings: tuple[Coding, ...], *, bytes_max: int) -> None:
        view = memoryview(body)
        source: Iterator[bytes | memoryview] = (
            view[start : start + _PIECE_BYTES] for start in range(0, len(view), _PIECE_BYTES)
        )
        self._pieces = reduce(_decoded, reversed(codings), source)
        self._done: list[bytes | memoryview] = []
        self._bytes = 0
        self._bytes_max = bytes_max

    def run(self, bytes_limit: int | None = None) -> bytes | None:
        """What the body stands for; None when more than ``bytes_limit`` bytes of it are done and it goes on.

        Raises:
            BodyTooLarge: it comes to more than bodies may.
            Refusal: 400, it is not what its Content-Encoding says.
        """
        for piece in self._pieces:
            self._done.append(piece)
            self._bytes += len(piece)
            if self._bytes > self._bytes_max:
                self._done.clear()
                raise BodyTooLarge(self._bytes_max)
            if bytes_limit is not None and self._bytes > bytes_limit:
                return None
        return b"".join(self._done)


class _Decoder(Protocol):
    """One member, or frame, of a coded body: the protocol of the standard library's decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...


class _ZlibDecoder:
    """zlib's, which keeps what it has not taken in where others take it all."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._full

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        made = self._inner.decompress(self._inner.unconsumed_tail or data, max_length)
        self._full = len(made) == max_length or bool(self._inner.unconsumed_tail)
        return made


def _decoder(coding: Coding, start: bytes | memoryview) -> _Decoder:
    if coding is Coding.ZSTD:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})
    if coding is Coding.GZIP:
        return _ZlibDecoder(16 + zlib.MAX_WBITS)
    # "deflate" is zlib's format; some senders leave its two bytes of head away, and its checksum.
    has_head = start[0] & 0x0F == zlib.DEFLATED and (len(start) < 2 or int.from_bytes(start[:2]) % 31 == 0)
    return _ZlibDecoder(zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS)


def _decoded(source: Iterator[bytes | memoryview], coding: Coding) -> Iterator[bytes]:
    """The pieces of what ``source`` stands for; a body may be of several gzip members or zstd frames."""
    decoder, is_empty = None, True
    try:
        for piece in source:
            rest: bytes | memoryview = piece
            while len(rest) or (decoder is not None and not decoder.needs_input):
                if decoder is None:
                    if coding is Coding.DEFLATE and not is_empty:
                        raise _broken(coding, "there is more after its end")
                    decoder, is_empty = _decoder(coding, rest), False
                made, rest = decoder.decompress(rest, _PIECE_BYTES), b""
                if made:
                    yield made
                if decoder.eof:
                    rest, decoder = decoder.unused_data, None
    except (zlib.error, zstd.ZstdError) as error:
        raise _broken(coding, str(error)) from None
    if decoder is not None or is_empty:
        raise _broken(coding, "it is cut short")


def _broken(coding: Coding, reason: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", f"The body is no {coding} data: {reason.rstrip('.')}.")


def encode(body: bytes, coding: Coding) -> bytes:
    """``body`` in a coding."""
    if coding is Coding.ZSTD:
        return zstd.compress(body)
    window_bits = 16 + zlib.MAX_WBITS if coding is Coding.GZIP else zlib.MAX_WBITS
    return zlib.compress(body, _LEVEL, window_bits)
