"""HTTP/1.1 as the gateway speaks it: the hot path lives in this protocol object.

httptools (llhttp, the parser of Node.js) reads heads and bodies; no body is looked at. One exchange at a time is
under way on a connection; a caller that sends several at once gets its answers in their order. Everything that a
caller can make large or slow has a limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools

from servery.errors import BodyTooLarge, LimitError, ServeryError
from servery.serving.answers import FAULTS, REASONS, coerced_names, status_of
from servery.serving.compression import ANSWER_BYTES_MIN, INLINE_BYTES_MAX, Decoding, codings_of, encode, wanted_coding
from servery.serving.dialects.dialect import EVENT_STREAM, Dialect, Operation, Refusal, Reply, method_not_allowed
from servery.serving.event_stream import EventStream
from servery.serving.exchange import Exchange
from servery.serving.negotiation import ARROW
from servery.serving.open_flow import open_flow
from servery.serving.site import Site
from servery.workers.request import Answer, Request
from servery.workers.stream import Stream

HEAD_BYTES_MAX = 16 << 10
HEADERS_MAX = 100
HEAD_SECONDS_MAX = 20
"""How long a head may take to come in; a body may pause for BODY_PAUSE_SECONDS_MAX."""
BODY_PAUSE_SECONDS_MAX = 30
IDLE_SECONDS_MAX = 75
WHOLE_BYTES_MAX = 8 << 20
"""An Arrow body of unknown length that is longer flows; one of known length, where it is longer than bodies may be."""
UNREAD_SECONDS_MAX = 60
"""How long a caller may leave its answer unread."""
LINGER_SECONDS = 2
"""How long the rest of a refused request is read and dropped, so that its answer is not lost to a reset."""

WANTED = frozenset(
    {
        *(b"accept", b"accept-encoding", b"content-type", b"content-encoding", b"content-length", b"expect"),
        *(b"x-request-id", b"x-request-timeout-ms", b"x-servery-nan", b"inference-header-content-length"),
    }
)
"""The headers that are kept, by their names in lower case; the others are counted and dropped."""
LISTS = frozenset({b"accept", b"accept-encoding", b"content-encoding"})
"""Of these, those that may stand on several lines."""
COMPACT = frozenset({b"application/vnd.apache.parquet"})
"""Media types that gain nothing by a coding."""

log = logging.getLogger(__name__)


class HttpProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        # What comes in.
        self._incoming: Exchange | None = None
        self._reading_head = True
        self._head_bytes = 0
        self._discarding = False
        # What is under way.
        self._current: Exchange | None = None
        self._pipeline: deque[Exchange] = deque()
        self._write_paused = False
        self._reading_paused = False
        # When something last happened, in the site's whole seconds.
        self._heard = site.second
        self._begun = site.second

    @property
    def idle(self) -> bool:
        return self._current is None and self._incoming is None and not self._pipeline

    # The transport's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._site.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        self._heard = self._site.second
        if self._reading_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The caller may ask for another protocol; it is answered in this one, and the connection ends with it.
            self._discarding = True
            if self._current is not None:
                self._current.keep_alive = False
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                log.critical("the gateway's HTTP protocol failed", exc_info=error)
            self._cut_short(Refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "The request is not valid HTTP/1.1."))
        else:
            incoming = self._incoming
            if incoming is not None and incoming.refusal is not None:
                self._cut_short(incoming.refusal)
            elif self._reading_head and self._head_bytes > HEAD_BYTES_MAX:
                self._cut_short(_head_too_large())

    def eof_received(self) -> None:
        """A caller that has closed its side has left, as every proxy has it: the connection closes, and with it goes
        what still waits."""

    def connection_lost(self, _error: Exception | None) -> None:
        self._site.connections.discard(self)
        self._pipeline.clear()
        if self._current is not None:
            self._current.abandon()
        self._current = None

    def pause_writing(self) -> None:
        self._write_paused = True
        self._heard = self._site.second
        if self._current is not None and self._current.pieces is not None:
            self._current.pieces.pause()
        if not self._flows_in:
            self._pause_reading()

    def resume_writing(self) -> None:
        self._write_paused = False
        self._heard = self._site.second
        if self._current is not None and self._current.pieces is not None:
            self._current.pieces.resume()
        self._resume_reading()

    # The parser's calls.

    def on_message_begin(self) -> None:
        self._incoming = Exchange()
        self._begun = self._site.second

    def on_url(self, url: bytes) -> None:
        if self._incoming is not None:
            self._incoming.path += url
            self._incoming.head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self._incoming
        if incoming is None:
            return
        incoming.headers += 1
        incoming.head_bytes += len(name) + len(value)
        name = name.lower()
        if name in WANTED:
            is_more = name in LISTS and name in incoming.head
            incoming.head[name] = incoming.head[name] + b", " + value if is_more else value

    def on_headers_complete(self) -> None:
        incoming = self._incoming
        if incoming is None:
            return
        self._reading_head = False
        self._head_bytes = 0
        incoming.method = self._parser.get_method()
        head = incoming.head
        if incoming.headers > HEADERS_MAX or incoming.head_bytes > HEAD_BYTES_MAX:
            incoming.refusal = _head_too_large()
        elif int(head.get(b"content-length", 0)) > self._site.body_bytes_max and not self._begin_flow(incoming):
            incoming.refusal = incoming.refusal or BodyTooLarge(self._site.body_bytes_max)
        elif b"expect" in head and head[b"expect"].lower() == b"100-continue" and self._current in (None, incoming):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        incoming = self._incoming
        if incoming is None or incoming.refusal is not None:
            return
        if incoming.flow is not None:
            incoming.flow.feed(chunk)
            if not incoming.flow.has_room:
                self._pause_reading()
            return
        incoming.body.append(chunk)
        before, incoming.body_bytes = incoming.body_bytes, incoming.body_bytes + len(chunk)
        if before <= WHOLE_BYTES_MAX < incoming.body_bytes and b"content-length" not in incoming.head:
            self._begin_flow(incoming)
        if incoming.body_bytes > self._site.body_bytes_max:
            incoming.body.clear()
            incoming.refusal = BodyTooLarge(self._site.body_bytes_max)

    def on_message_complete(self) -> None:
        incoming = self._incoming
        if incoming is None:
            return
        incoming.keep_alive = self._parser.should_keep_alive() and incoming.refusal is None
        self._incoming = None
        self._reading_head = True
        if incoming.flow is not None:
            incoming.flow.close()
            return
        self._pipeline.append(incoming)
        self._advance()

    # One exchange after another.

    def check(self, second: int) -> None:
        """Called every second: end what is too slow."""
        silent = second - self._heard
        if self._discarding and self._current is None:
            if silent > LINGER_SECONDS:
                self._transport.abort()
        elif self._current is not None:
            waits_for_body = self._flows_in and not self._reading_paused and silent > BODY_PAUSE_SECONDS_MAX
            if waits_for_body or (self._write_paused and silent > UNREAD_SECONDS_MAX):
                self._transport.abort()
        elif self._incoming is not None:
            slow_head = self._reading_head and second - self._begun > HEAD_SECONDS_MAX
            if slow_head or silent > BODY_PAUSE_SECONDS_MAX:
                message = "The request did not come in within its time."
                self._cut_short(Refusal(HTTPStatus.REQUEST_TIMEOUT, "DEADLINE_EXCEEDED", message))
        elif silent > IDLE_SECONDS_MAX:
            self._transport.close()

    def close_when_idle(self) -> None:
        if self.idle:
            self._transport.close()

    def _cut_short(self, refusal: Exception) -> None:
        """Answer without the rest of the request, and end the connection after it."""
        exchange = self._incoming or Exchange()
        exchange.refusal = refusal
        exchange.keep_alive = False
        exchange.body.clear()
        self._incoming = None
        self._discarding = True
        self._pipeline.append(exchange)
        self._advance()

    def _advance(self) -> None:
        while self._current is None and self._pipeline:
            self._current = self._pipeline.popleft()
            self._begin(self._current)
        if self._pipeline:
            self._pause_reading()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        """Read on, unless answers are still to be given or to be taken, or a flow has no room."""
        flow = self._current.flow if self._current is not None and self._flows_in else None
        may_read = not self._write_paused if flow is None else flow.has_room
        if self._reading_paused and not self._pipeline and may_read:
            self._reading_paused = False
            self._transport.resume_reading()

    def _begin(self, exchange: Exchange) -> None:
        self._guarded(exchange, lambda: self._start(exchange))

    def _guarded(self, exchange: Exchange, act: Callable[[], None]) -> None:
        """Do the next thing about an exchange; what is raised becomes its answer."""
        try:
            act()
        except ServeryError as error:
            self._refuse(exchange, error)
        except Refusal as refusal:
            reply = self._dialect(exchange).refusal(refusal.status, refusal.error_code, str(refusal))
            self._send(exchange, reply, refusal.headers)

    def _start(self, exchange: Exchange) -> None:
        """Have the body as it was meant, at once where that is little to do; then ``_route``."""
        if exchange.refusal is not None:
            raise exchange.refusal
        exchange.arrived = self._site.clock.monotonic()
        exchange.wanted = wanted_coding(exchange.head.get(b"accept-encoding"))
        body = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
        encoding = exchange.head.get(b"content-encoding")
        codings = codings_of(encoding) if encoding is not None and body else ()
        if not codings:
            self._route(exchange, body)
            return
        decoding = Decoding(body, codings, bytes_max=self._site.body_bytes_max)
        decoded = decoding.run(INLINE_BYTES_MAX) if len(body) <= INLINE_BYTES_MAX else None
        if decoded is not None:
            self._route(exchange, decoded)
            return

        def done(running: asyncio.Future[bytes | None]) -> None:
            if self._current is exchange:
                self._guarded(exchange, lambda: self._route(exchange, running.result() or b""))
                self._advance()

        self._site.in_thread(decoding.run).add_done_callback(done)

    def _route(self, exchange: Exchange, body: bytes) -> None:
        path, _, _ = exchange.path.partition(b"?")
        operation = self._site.operation(path, exchange.method, [body])
        if operation is not None:
            self._invoke(exchange, operation, body)
        else:
            self._send(exchange, self._site.page(exchange.method, path, exchange.head, [body]))

    def _invoke(self, exchange: Exchange, operation: Operation, body: bytes) -> None:
        if exchange.method != b"POST":
            raise method_not_allowed(exchange.method, b"POST")
        site, head, target = self._site, exchange.head, operation.target
        asked = operation.dialect.ask(head, body, target.options)
        default_seconds = site.request_timeout_seconds
        timeout_seconds = operation.dialect.timeout_seconds(head, asked, default_seconds=default_seconds)
        exchange.operation = operation
        choice = operation.pinned or target.choose()
        streaming = None if choice.streams is False else operation.streaming
        if streaming is not None and streaming.wants_events(head, body):
            events = EventStream(self, streaming, operation, choice)
            events.stream = Stream(
                asked,
                number=next(site.numbers),
                arrived=exchange.arrived,
                first_event_seconds=timeout_seconds,
                seconds=timeout_seconds if b"x-request-timeout-ms" in head else site.stream_timeout_seconds,
                listener=events,
            )
            target.open(events.stream, choice)
            exchange.events, exchange.choice = events, choice
            return
        request = Request(
            asked,
            number=next(site.numbers),
            arrived=exchange.arrived,
            timeout_seconds=timeout_seconds,
            on_answer=self._answered,
            on_refusal=self._refused,
        )
        exchange.choice = target.admit(request, choice)
        exchange.request = request

    def _answered(self, request: Request, answer: Answer) -> None:
        exchange = self._current
        if exchange is None or exchange.request is not request:
            return
        choice, operation = exchange.choice, exchange.operation
        if choice is None or operation is None:
            return
        decode, predict, encode = answer.timings
        choice.counts.add_batch(answer.batch_requests, request.arrived, answer.queue_seconds, answer.timings)
        headers = b'Server-Timing: queue;dur=%.3f, batch;desc="%d", compute;dur=%.3f\r\n' % (
            answer.queue_seconds * 1000,
            answer.batch_requests,
            (decode + predict + encode) * 1000,
        )
        if answer.outcome in FAULTS:
            headers += b"X-Servery-Fault: %b\r\n" % FAULTS[answer.outcome]
        if answer.coerced:
            choice.counts.add_coerced()
            headers += b"X-Servery-Coerced: %b\r\n" % coerced_names(answer.coerced)
        self._send(exchange, operation.dialect.reply(answer, operation, choice), headers)
        self._advance()

    def _refused(self, request: Request, error: ServeryError) -> None:
        exchange = self._current
        if exchange is None or exchange.request is not request:
            return
        self._refuse(exchange, error)
        self._advance()

    def _refuse(self, exchange: Exchange, error: ServeryError) -> None:
        reply = self._dialect(exchange).refusal(*status_of(error), error.message)
        self._send(exchange, reply, _retry_after(error))

    # A body and an answer that flow.

    @property
    def _flows_in(self) -> bool:
        """Whether the body of what is under way still comes in."""
        return self._current is not None and self._current is self._incoming

    def _begin_flow(self, incoming: Exchange) -> bool:
        """Have a body answered while it comes in; False where it is collected instead."""
        if self._current is not None or self._pipeline or self._parser.get_http_version() == "1.0":
            return False
        try:
            arrow = open_flow(self, self._site, incoming)
        except (ServeryError, Refusal) as error:
            incoming.refusal = error
            return False
        if arrow is None:
            return False
        incoming.flow, self._current = arrow, incoming
        for piece in incoming.body:
            arrow.feed(piece)
        incoming.body.clear()
        return True

    def begin_flow(self) -> None:
        exchange = self._current
        if exchange is not None and exchange.choice is not None:
            lines = b"X-Model-Version: %b\r\nTransfer-Encoding: chunked\r\n" % exchange.choice.header
            self._transport.write(self._head(exchange, 200, ARROW.encode(), lines))

    def read_on(self) -> None:
        self._resume_reading()

    def end_flow(self) -> None:
        self.end_events()

    def break_off(self) -> None:
        self._current = self._incoming = None
        self._discarding = True
        self._pipeline.clear()
        self._transport.close()

    # An answer in pieces, called by its ``EventStream``.

    def begin_events(self) -> bool:
        exchange = self._current
        if exchange is None or exchange.choice is None:
            return True
        chunked: bool = self._parser.get_http_version() != "1.0"
        exchange.keep_alive = exchange.keep_alive and chunked
        lines = b"X-Model-Version: %b\r\nCache-Control: no-cache\r\n" % exchange.choice.header
        lines += b"Transfer-Encoding: chunked\r\n" if chunked else b""
        self._transport.write(self._head(exchange, 200, EVENT_STREAM, lines))
        return chunked

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def end_events(self) -> None:
        if self._current is not None:
            self._finish(keep_alive=self._current.keep_alive and not self._site.draining)
            self._advance()

    def answer(self, reply: Reply, error: ServeryError | None) -> None:
        if self._current is not None:
            if self._flows_in:
                self._current.keep_alive = False
                self._incoming = None
                self._discarding = True
            self._send(self._current, reply, _retry_after(error))
            self._advance()

    def _dialect(self, exchange: Exchange) -> Dialect:
        """In which the exchange is refused, whether or not its path calls anything."""
        return self._site.dialect(exchange.path) if exchange.operation is None else exchange.operation.dialect

    def _send(self, exchange: Exchange, reply: Reply, headers: bytes = b"") -> None:
        """Write the answer, with ``headers`` besides its own, in the coding that its caller likes best."""
        body, (coding, always) = reply.body, exchange.wanted
        is_worth_it = len(body) >= ANSWER_BYTES_MIN and reply.content_type not in COMPACT
        if not is_worth_it and not (always and body):
            self._write(exchange, reply, headers)
            return
        headers += b"Vary: Accept-Encoding\r\n"
        if coding is None or exchange.method == b"HEAD":
            self._write(exchange, reply, headers)
            return
        headers += b"Content-Encoding: %b\r\n" % coding.encode()
        if len(body) <= INLINE_BYTES_MAX:
            self._write(exchange, reply._replace(body=encode(body, coding)), headers)
            return

        def done(running: asyncio.Future[bytes]) -> None:
            if self._current is exchange:
                self._write(exchange, reply._replace(body=running.result()), headers)
                self._advance()

        self._site.in_thread(encode, body, coding).add_done_callback(done)

    def _write(self, exchange: Exchange, reply: Reply, headers: bytes) -> None:
        """Write the answer as it is."""
        site, choice = self._site, exchange.choice
        status, body, content_type, own_headers = reply
        headers += own_headers
        if choice is not None:
            headers += b"X-Model-Version: %b\r\n" % choice.header
            choice.counts.add(status, site.clock.monotonic() - exchange.arrived)
        else:
            site.count_other(status)
        head = self._head(exchange, status, content_type, b"Content-Length: %d\r\n%b" % (len(body), headers))
        if exchange.method == b"HEAD":
            self._transport.write(head)
        elif len(body) < 1 << 16:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        self._finish(keep_alive=exchange.keep_alive and not site.draining)

    def _head(self, exchange: Exchange, status: int, content_type: bytes, lines: bytes) -> bytes:
        site = self._site
        return b"HTTP/1.1 %d %b\r\nDate: %b\r\nContent-Type: %b\r\nX-Request-Id: %b\r\n%b%b\r\n" % (
            status,
            REASONS[status],
            site.date,
            content_type,
            exchange.request_id or site.new_request_id(),
            lines,
            b"" if exchange.keep_alive and not site.draining else b"Connection: close\r\n",
        )

    def _finish(self, *, keep_alive: bool) -> None:
        self._current = None
        self._heard = self._site.second
        if keep_alive:
            self._resume_reading()
            return
        self._pipeline.clear()
        if self._discarding and self._transport.can_write_eof():
            # What the caller is still sending is read and dropped: a reset would take the answer from it.
            self._transport.write_eof()
            self._resume_reading()
        else:
            self._transport.close()


def _retry_after(error: ServeryError | None) -> bytes:
    seconds = error.retry_after_seconds if isinstance(error, LimitError) else None
    return b"" if seconds is None else b"Retry-After: %d\r\n" % seconds


def _head_too_large() -> Refusal:
    message = f"The request's head has more than {HEAD_BYTES_MAX} bytes or {HEADERS_MAX} headers."
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "BAD_REQUEST", message)
