"""Flows: Arrow streams that are answered while they come in, each record batch by itself.

A flow has an answer's record batches ready only as far as its caller takes them; while it cannot pass them on, it takes
no more of the body, and the host sends no more. So neither body nor answer is ever there as a whole. Between two frames
of a flow the worker does whatever else it is asked.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from servery_worker import stream_frames
from servery_worker.codecs.arrow_answers import table_of_output
from servery_worker.codecs.arrow_flow import Incoming, Outgoing
from servery_worker.flavors import FAILURES
from servery_worker.predictor import Predictor
from servery_worker.replies import Reply, raised, refused, unencodable
from servery_worker.stream_frames import Opening
from servery_worker.wire import Kind, Outcome, WireError


class Flows:
    """Those of one worker that have not ended."""

    def __init__(self, connection: socket.socket, predictor: Predictor) -> None:
        self._connection = connection
        self._predictor = predictor
        self._flows: dict[int, Flow] = {}

    def take(self, kind: int, payload: memoryview) -> None:
        """A frame that is no BATCH.

        Raises:
            WireError: it is no flow's either.
        """
        if kind == Kind.OPEN:
            opening = stream_frames.decode_open(payload)
            self._flows[opening.id] = Flow(opening, self._predictor, self._connection.sendall)
            self._act(opening.id, Flow.open)
        elif kind == Kind.CHUNK:
            id_, data = stream_frames.decode_chunk(payload)
            self._act(id_, lambda flow: flow.take(data))
        elif kind == Kind.CREDIT:
            id_, count = stream_frames.decode_credit(payload)
            self._act(id_, lambda flow: flow.grant(count))
        elif kind == Kind.CANCEL:
            self._act(stream_frames.decode_cancel(payload), Flow.cancel)
        else:
            raise WireError(f"a frame of kind {kind} where a BATCH or a flow's is expected")

    def _act(self, id_: int, act: Callable[[Flow], None]) -> None:
        flow = self._flows.get(id_)
        if flow is not None:
            act(flow)
            if flow.ended:
                del self._flows[flow.id]


class Flow:
    """One of them: a machine that is moved by its frames, and never waits."""

    def __init__(self, opening: Opening, predictor: Predictor, send: Any) -> None:
        self.id = opening.id
        self.ended = False
        self._options = opening.asked.options
        self._credits = opening.credits
        self._predictor = predictor
        self._send = send
        self._incoming: Incoming
        self._pieces: deque[bytes] = deque()
        """Of the answer, for which the caller has no room yet."""
        self._outgoing = Outgoing(self._pieces.append)
        self._owed = 0
        """Bytes of the body that the host has not been told are taken."""
        self._closed = False
        """All of the body has come."""
        self._done = False
        """All of it is answered."""

    def open(self) -> None:
        try:
            self._incoming = Incoming()
        except Exception as error:
            self._end(refused(error))

    def take(self, data: memoryview) -> None:
        """The next bytes of the body; none at its end."""
        self._incoming.feed(data)
        self._owed += len(data)
        self._closed = not len(data)
        self._go_on()

    def grant(self, count: int) -> None:
        """The caller takes ``count`` more pieces."""
        self._credits += count
        self._go_on()

    def cancel(self) -> None:
        self._end(Reply(Outcome.OK, b""))

    def _go_on(self) -> None:
        """Predict what is there, as far as there is room for what comes of it."""
        self._flush()
        while not self._pieces and not self.ended:
            if self._done:
                self._end(Reply(Outcome.OK, b""))
                return
            try:
                sent = self._incoming.next_table()
                if sent is None and self._closed:
                    self._incoming.close()
            except Exception as error:
                self._end(refused(error))
                return
            if sent is not None:
                self._predict(sent)
            elif self._closed:
                self._outgoing.close()
                self._done = True
            else:
                self._ask_for_more()
                return
            self._flush()

    def _ask_for_more(self) -> None:
        if self._owed:
            self._send(stream_frames.encode_credit(self.id, self._owed))
            self._owed = 0

    def _predict(self, sent: Any) -> None:
        try:
            call = self._predictor.call_of(sent, self._options)
        except Exception as error:
            self._end(refused(error))
            return
        try:
            output = self._predictor.predict_call(call)
        except FAILURES as error:
            self._end(raised(error))
            return
        try:
            self._outgoing.write(table_of_output(output, self._predictor.outputs))
        except Exception as error:
            self._end(unencodable(error, True))

    def _flush(self) -> None:
        while self._pieces and self._credits and not self.ended:
            self._credits -= 1
            self._send(stream_frames.encode_event(self.id, self._pieces.popleft()))

    def _end(self, reply: Reply) -> None:
        self.ended = True
        self._send(stream_frames.encode_end(self.id, reply.outcome, reply.body))
