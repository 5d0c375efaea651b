"""The life of a worker whose model streams: batches and the steps of generators take turns in the main thread.

A thread of its own reads the frames, so that a caller's leaving is known while the model works. Generators advance one
step a turn, each as far as its caller takes events; what is cancelled comes before all others. The model's code is
never entered by two threads at once: while the main thread is in it, the event loop of asynchronous streams rests.
"""

from __future__ import annotations

import io
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from servery_worker import stream_frames
from servery_worker.coroutines import Coroutines
from servery_worker.flavors import FAILURES
from servery_worker.predictor import Predictor
from servery_worker.replies import Reply
from servery_worker.streams import Stream
from servery_worker.wire import Kind, Outcome, WireError

ReadFrame = Callable[[io.BufferedIOBase], "tuple[int, memoryview] | None"]
Answer = Callable[[memoryview], bytes]
"""From the payload of a BATCH to a RESULTS frame."""


class Turns:
    """What is to be done, in order. ``run`` is the main thread; ``_read`` the one that reads."""

    def __init__(self, connection: socket.socket, predictor: Predictor, answer: Answer) -> None:
        self._connection = connection
        self._predictor = predictor
        self._answer = answer
        self._turns: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._streams: dict[int, Stream] = {}
        """Those that have not ended."""
        self._waiting: set[int] = set()
        """Of these, the ones that wait for their callers to take events."""
        self._coroutines: Coroutines | None = None
        self._over: BaseException | bool = False
        """The host has hung up, or broken the protocol."""

    def run(self, stream: io.BufferedIOBase, read_frame: ReadFrame) -> int:
        """Answer until the host hangs up; the exit status."""
        threading.Thread(target=self._read, args=(stream, read_frame), name="frames", daemon=True).start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._turns or self._over)
                if not self._turns:
                    break
                turn = self._turns.popleft()
            turn()
        for left in tuple(self._streams.values()):
            self._cancel(left)
        if self._coroutines is not None:
            self._coroutines.close()
        if isinstance(self._over, BaseException):
            raise self._over
        return 0

    # The thread that reads.

    def _read(self, stream: io.BufferedIOBase, read_frame: ReadFrame) -> None:
        over: BaseException | bool = True
        try:
            while (frame := read_frame(stream)) is not None:
                self._take(*frame)
        except Exception as error:  # Whatever it is, the main thread ends with it.
            over = error
        with self._changed:
            self._over = over
            self._changed.notify()

    def _take(self, kind: int, payload: memoryview) -> None:
        if kind == Kind.BATCH:
            self._add(lambda: self._answer_batch(payload))
        elif kind == Kind.OPEN:
            stream = Stream(stream_frames.decode_open(payload), self._send)
            self._streams[stream.id] = stream
            self._add(lambda: self._open(stream))
        elif kind == Kind.CREDIT:
            id_, count = stream_frames.decode_credit(payload)
            if (granted := self._streams.get(id_)) is not None:
                granted.grant(count)
                self._go_on(granted)
        elif kind == Kind.CANCEL:
            if (cancelled := self._streams.get(stream_frames.decode_cancel(payload))) is not None:
                cancelled.cancelled = True
                self._add(lambda: self._cancel(cancelled), first=True)
        else:
            raise WireError(f"a frame of kind {kind} where a BATCH or a stream's is expected")

    def _go_on(self, stream: Stream) -> None:
        """It has credits again."""
        with self._changed:
            waited = stream.id in self._waiting
            self._waiting.discard(stream.id)
        if waited:
            self._add(lambda: self._step(stream))
        elif self._coroutines is not None:
            self._coroutines.granted(stream)

    def _add(self, turn: Callable[[], object], *, first: bool = False) -> None:
        with self._changed:
            if first:
                self._turns.appendleft(turn)
            else:
                self._turns.append(turn)
            self._changed.notify()

    # The main thread.

    def _answer_batch(self, payload: memoryview) -> None:
        with self._alone():
            results = self._answer(payload)
        self._send(results)

    def _open(self, stream: Stream) -> None:
        if stream.ended:
            return
        with self._alone():
            asked = stream.ask(self._predictor)
        if not asked:
            self._forget(stream)
        elif stream.is_asynchronous:
            if self._coroutines is None:
                self._coroutines = Coroutines(self._forget)
            self._coroutines.start(stream)
        else:
            self._step(stream)

    def _step(self, stream: Stream) -> None:
        if stream.ended or self._must_wait(stream):
            return
        try:
            with self._alone():
                chunk = stream.context.run(next, stream.chunks)
        except StopIteration:
            stream.finish()
        except FAILURES as error:
            stream.fail(error)
        else:
            if stream.say(chunk) and not self._over:
                self._add(lambda: self._step(stream))
                return
        self._close(stream)

    def _must_wait(self, stream: Stream) -> bool:
        with self._changed:
            # Asked under the lock: a credit that comes now finds the stream among those that wait.
            if stream.may_send():
                return False
            self._waiting.add(stream.id)
            return True

    def _cancel(self, stream: Stream) -> None:
        if not stream.is_asynchronous:
            self._close(stream)
        elif self._coroutines is not None:
            self._coroutines.cancel(stream)

    def _close(self, stream: Stream) -> None:
        """Let the generator's ``finally`` run, and say that it has ended."""
        try:
            if hasattr(stream.chunks, "close"):
                with self._alone():
                    stream.context.run(stream.chunks.close)
        except FAILURES:
            pass  # Nobody listens to it any more.
        stream.end(Reply(Outcome.OK, b""))
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._streams.pop(stream.id, None)
        self._waiting.discard(stream.id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The model's code is entered: nobody else is in it."""
        if self._coroutines is None:
            yield
        else:
            with self._coroutines.paused():
                yield

    def _send(self, frame: bytes) -> None:
        # Where the host has hung up, the thread that reads knows it.
        with self._writing, suppress(OSError):
            self._connection.sendall(frame)
