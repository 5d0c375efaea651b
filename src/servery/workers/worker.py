"""One worker on its gateway: its lifecycle, the one batch that it may have at a time, and its streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path

import msgspec

from servery.clock import Clock
from servery.workers.channel import Channel
from servery.workers.environments.variables import Launch
from servery.workers.process import Process, start_process
from servery.workers.request import Answer, Request
from servery.workers.stream import WorkerStreams
from servery_worker import wire


class WorkerState(Enum):
    """A worker's life; ``LEGAL`` says which moves exist."""

    STARTING = "starting"
    """Its process runs; it has not yet said that the version is loaded."""
    IDLE = "idle"
    """It waits for a batch."""
    BUSY = "busy"
    """It has a batch."""
    ENDED = "ended"
    """Its process is gone, or on its way to be."""


LEGAL = {
    WorkerState.STARTING: {WorkerState.IDLE, WorkerState.ENDED},
    WorkerState.IDLE: {WorkerState.BUSY, WorkerState.ENDED},
    WorkerState.BUSY: {WorkerState.IDLE, WorkerState.ENDED},
    WorkerState.ENDED: set[WorkerState](),
}


_HANG_UP_SECONDS = 0.5
"""How long the end of a worker's process and that of its connection may lie apart. A child that a model has forked
holds the connection open; a model that closes every file closes it while the process lives on."""


class WorkerFailed(Exception):
    """The worker did not become ready; ``str()`` is the cause in one sentence."""

    def __init__(self, cause: str, *, ended: bool = False) -> None:
        super().__init__(cause)
        self.ended = ended
        """Its process ended by itself, and told no cause."""


class _LoadFailed(msgspec.Struct):
    cause: str


class Worker:
    """A process that holds one version.

    ``start`` must have returned before ``send``; ``send`` only while the state is IDLE. ``on_idle`` is called each
    time that it can take a batch; ``on_lost`` once, with the requests that it had, when it ended unasked after it
    had been ready; ``on_stream_end`` each time that it has one stream fewer.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_idle: Callable[[Worker], None],
        on_lost: Callable[[Worker, Sequence[Request]], None],
        on_stream_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = WorkerState.STARTING
        self.batch: Sequence[Request] = ()
        self.batch_sent = 0.0
        self.batchable = False
        self.facts: Mapping[str, object] = {}
        """What its LOADED frame said."""
        self.ready_since = 0.0
        self._clock = clock
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._process: Process | None = None
        self._channel = Channel(self._frame, self._lost)
        self.streams = WorkerStreams(clock, self._channel.send, on_stream_end)
        """To be opened while it is ready, where its facts say that the model streams."""
        self._loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hung_up = asyncio.Event()
        self._watching: asyncio.Future[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """Of its process once that has ended; negative when a signal ended it."""
        return None if self._process is None else self._process.handle.returncode

    def signal(self, number: int) -> None:
        """Send its process a signal that does not end it."""
        if self._process is not None:
            self._process.signal(number)

    async def start(self, launch: Launch, order: bytes, *, title: str, log: Path, timeout_seconds: float) -> None:
        """Start the process, give it the LOAD ``order``, and wait until the version is loaded and proved.

        Raises:
            WorkerFailed: it raised, exited, hung, or answered its example wrongly. Its process is gone then.
        """
        try:
            self._process = await start_process(launch, title=title, log=log)
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: self._channel, sock=self._process.connection)
            self._watching = asyncio.ensure_future(self._watch(self._process))
            self._channel.send([wire.frame(wire.Kind.LOAD, order)])
            async with asyncio.timeout(timeout_seconds):
                await self._loaded
        except TimeoutError:
            await self._end()
            raise WorkerFailed(f"it was not ready within {timeout_seconds:g} s") from None
        except OSError as error:
            await self._end()
            raise WorkerFailed(f"its process cannot be started: {error.strerror}") from None
        except BaseException:
            await self._end()
            raise
        if self._channel.closed:
            await self._end()
            raise WorkerFailed("its process ended as soon as it had loaded")
        self._move(WorkerState.IDLE)
        self.ready_since = self._clock.monotonic()
        self._on_idle(self)

    def send(self, batch: Sequence[Request]) -> None:
        self._move(WorkerState.BUSY)
        self.batch = batch
        self.batch_sent = self._clock.monotonic()
        self._channel.send(wire.encode_batch([(one.number, one.asked) for one in batch]))

    async def stop(self, *, timeout_seconds: float) -> None:
        """Let it finish its batch and its streams, then end its process; kill it when it takes longer."""
        self._stopping = True
        process = self._process
        if process is not None:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self.streams.drained()
                    self._channel.finish()
                    await process.wait()
                    # Its last answers may still lie in the socket.
                    async with asyncio.timeout(_HANG_UP_SECONDS):
                        await self._hung_up.wait()
            except TimeoutError:
                pass
        await self._end()

    def kill(self) -> None:
        """End the process now, as for one that hangs; ``on_lost`` follows."""
        if self._process is not None:
            self._process.kill()

    async def _end(self) -> None:
        """The process is gone when this returns."""
        self._stopping = True
        if self.state is not WorkerState.ENDED:
            self._move(WorkerState.ENDED)
        self._channel.abort()
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process.connection.close()
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self, process: Process) -> None:
        """Its process has ended: so has its connection, whoever else holds it open."""
        await process.wait()
        await asyncio.sleep(_HANG_UP_SECONDS)
        self._channel.abort()

    def _move(self, state: WorkerState) -> None:
        if state not in LEGAL[self.state]:
            raise RuntimeError(f"a worker cannot move from {self.state.value} to {state.value}")
        self.state = state

    def _frame(self, kind: int, payload: bytes) -> None:
        try:
            if kind == wire.Kind.RESULTS:
                self._answer(*wire.decode_results(payload))
            elif kind == wire.Kind.EVENT:
                self.streams.event(payload)
            elif kind == wire.Kind.CREDIT:
                self.streams.credit(payload)
            elif kind == wire.Kind.END:
                self.streams.end(payload)
            elif kind == wire.Kind.HELLO:
                self._greet(msgspec.json.decode(payload, type=dict[str, object]))
            elif kind == wire.Kind.LOADED:
                self.facts = msgspec.json.decode(payload, type=dict[str, object])
                self.batchable = bool(self.facts.get("batchable"))
                if not self._loaded.done():
                    self._loaded.set_result(None)
            elif kind == wire.Kind.LOAD_FAILED:
                self._fail(msgspec.json.decode(payload, type=_LoadFailed).cause)
            else:
                raise wire.WireError(f"a frame of the unknown kind {kind}")
        except (wire.WireError, msgspec.DecodeError):
            # A worker that breaks the protocol is as good as dead: what it holds is tried elsewhere.
            self._channel.abort()

    def _greet(self, hello: dict[str, object]) -> None:
        if hello.get("wire") != wire.WIRE_VERSION:
            self._fail(f"it speaks wire version {hello.get('wire')}, this gateway {wire.WIRE_VERSION}")

    def _fail(self, cause: str, *, ended: bool = False) -> None:
        if not self._loaded.done():
            self._loaded.set_exception(WorkerFailed(cause, ended=ended))

    def _answer(self, results: Sequence[wire.Result], timings: wire.Timings) -> None:
        batch = self.batch
        if self.state is not WorkerState.BUSY or [result.id for result in results] != [
            request.number for request in batch
        ]:
            raise wire.WireError("answers to requests that were not asked")
        count = len(batch)
        answers = [
            Answer(
                *(outcome, body, count, self.batch_sent - request.arrived, timings, coerced, head_bytes),
                request.asked.answer_type,
            )
            for request, (_, outcome, body, coerced, head_bytes) in zip(batch, results, strict=True)
        ]
        self.batch = ()
        self._move(WorkerState.IDLE)
        if not self._stopping:
            # The next batch goes out before these answers do: the worker computes while the gateway writes.
            self._on_idle(self)
        for request, answer in zip(batch, answers, strict=True):
            request.answer(answer)

    def _lost(self) -> None:
        self._hung_up.set()
        self.streams.lose()
        if self._stopping and not self.batch:
            return
        if self.state is WorkerState.STARTING:
            self._exited = asyncio.ensure_future(self._explain_exit())
            return
        batch, self.batch = self.batch, ()
        if self.state is not WorkerState.ENDED:
            self._move(WorkerState.ENDED)
        self._on_lost(self, batch)

    async def _explain_exit(self) -> None:
        if self._process is None:
            return
        try:
            async with asyncio.timeout(_HANG_UP_SECONDS):
                status = await self._process.wait()
        except TimeoutError:
            self._fail("it closed its connection to the gateway while it was loading")
            return
        how = f"signal {-status}" if status < 0 else f"status {status}"
        self._fail(f"its process ended with {how} while it was loading", ended=True)
