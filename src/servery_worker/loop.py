"""A worker's life: greet, load, prove, then read a batch and answer each request in it, until the host hangs up."""

from __future__ import annotations

import gc
import io
import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from servery_worker import wire
from servery_worker.files import import_sources_only, verify
from servery_worker.flavors import loader_module
from servery_worker.predictor import LoadError, Predictor, Reply, load
from servery_worker.proof import prove
from servery_worker.watch import hide, watch

if TYPE_CHECKING:
    from servery_worker.flows import Flows

_AWAKE_SECONDS = 0.0002
"""A lone caller's next request comes about 0.15 ms after its answer; a worker that slept meanwhile answers it some
0.06 ms later (on two virtual cores), for its waking up and its cold caches."""
_CAUSE_LENGTH_MAX = 1000
_PADDING = -(wire.COUNT.size + wire.REQUEST.size) % 8
"""Before a payload, so that what follows the head of a lone request begins at a multiple of 8."""
_LOADING_COLLECTIONS = (50_000, 20, 100)
"""The collector's thresholds while a model loads. Its imports build some hundred thousand objects, all of which stay;
to walk them as often as Python does by itself takes a fifth of scikit-learn's start."""


def run(connection: socket.socket) -> int:
    """Serve one connection to its end; the exit status of the process."""
    with connection, io.BufferedReader(socket.SocketIO(connection, "r"), 1 << 18) as stream:
        hello = {"wire": wire.WIRE_VERSION, "pid": os.getpid(), "python": platform.python_version()}
        connection.sendall(wire.frame(wire.Kind.HELLO, _json(hello)))
        request = _read_frame(stream)
        if request is None:
            return 0
        kind, payload = request
        if kind != wire.Kind.LOAD:
            raise wire.WireError(f"expected LOAD, got kind {kind}")
        try:
            predictor, loaded = _load(json.loads(bytes(payload)))
        except Exception as error:
            # Whatever a model's own code raises on the way is the cause that its people must see.
            cause = str(error) if isinstance(error, LoadError) else f"{type(error).__name__}: {error}"
            connection.sendall(wire.frame(wire.Kind.LOAD_FAILED, _json({"cause": cause[:_CAUSE_LENGTH_MAX]})))
            return 1
        connection.sendall(wire.frame(wire.Kind.LOADED, _json(loaded)))
        if predictor.stream is not None:
            from servery_worker.turns import Turns

            turns = Turns(connection, predictor, lambda payload: _results(predictor, payload)[0])
            return turns.run(stream, _read_frame)
        return _answer_batches(connection, stream, predictor)


def _load(order: Mapping[str, Any]) -> tuple[Predictor, dict[str, Any]]:
    directory, mlmodel = order["directory"], order["mlmodel"]
    usual_collections = gc.get_threshold()
    gc.set_threshold(*_LOADING_COLLECTIONS)
    if order.get("watch"):
        watch(order["watch"])
    if order.get("hidden"):
        hide(order["hidden"])
    verify(directory, order["files"])
    import_sources_only(directory)
    predictor = load(directory, mlmodel)
    loader_module.stop_traces()
    example = "unasked"
    if order.get("prove", True):
        asked = {name: order[name] for name in ("must_answer", "neighbours", "load_seconds") if name in order}
        example = prove(predictor, directory, mlmodel, **asked)
    # What loading built lives as long as the process: the collector need not walk it again at every turn.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*usual_collections)
    told = {"flavor": predictor.flavor, "batchable": predictor.batchable, "example": example}
    return predictor, {**told, "tensors": predictor.tensors, "streams": predictor.stream is not None}


def _answer_batches(connection: socket.socket, stream: io.BufferedIOBase, predictor: Predictor) -> int:
    flows: Flows | None = None
    while True:
        request = _read_frame(stream)
        if request is None:
            return 0
        kind, payload = request
        if kind != wire.Kind.BATCH:
            if flows is None:
                from servery_worker.flows import Flows

                flows = Flows(connection, predictor)
            flows.take(kind, payload)
            continue
        results, count = _results(predictor, payload)
        connection.sendall(results)
        if count == 1:
            _stay_awake(connection)


def _results(predictor: Predictor, payload: memoryview) -> tuple[bytes, int]:
    """The RESULTS frame for a BATCH payload, and how many requests it had."""
    requests = wire.decode_batch(payload)
    answers, timings = predictor.answer([asked for _, asked in requests])
    fitting = fitting_answers(answers, wire.ANSWERS_BYTES_MAX)
    results = [wire.Result(id_, *answer) for (id_, _), answer in zip(requests, fitting)]
    return wire.encode_results(results, timings), len(requests)


def fitting_answers(answers: Sequence[Reply], bytes_max: int) -> Iterator[Reply]:
    """The answers, in order; one that no longer fits with those before it is refused: the host would take the frame for
    a fault of the worker, and end it."""
    room = bytes_max
    for answer in answers:
        fits = len(answer.body) <= room
        given = answer if fits else Reply(wire.Outcome.UNENCODABLE, b"The model's answer has too many bytes.")
        room -= len(given.body)
        yield given


def _stay_awake(connection: socket.socket) -> None:
    """Return when the next frame begins to come in, or after a moment; whoever else can run goes first."""
    end = perf_counter() + _AWAKE_SECONDS
    while perf_counter() < end:
        try:
            connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            os.sched_yield()
        else:
            return


def _read_frame(stream: io.BufferedIOBase) -> tuple[int, memoryview] | None:
    """The next frame's kind and payload, or None when the host has hung up. The payload may be written to, and the body
    of a lone request in it is aligned: a model may be given the numbers of an Arrow body where they lie."""
    head = stream.read(wire.FRAME.size)
    if not head:
        return None
    if len(head) < wire.FRAME.size:
        raise wire.WireError("the host hung up inside a frame")
    length, kind = wire.FRAME.unpack(head)
    payload = memoryview(bytearray(_PADDING + length - 1))[_PADDING:]
    if stream.readinto(payload) < length - 1:
        raise wire.WireError("the host hung up inside a frame")
    return kind, payload


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()
