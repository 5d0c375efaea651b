"""An Arrow stream of any length through a running server, and the memory that its processes take meanwhile."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

import servery
from tests.models import by_value
from tests.servers import Server

ARROW = "application/vnd.apache.arrow.stream"
ROWS, COLUMNS = 1 << 16, 8
BATCH_BYTES = ROWS * COLUMNS * 8


class Identity(servery.PythonModel):
    def predict(self, model_input: Any, params: Any = None) -> Any:
        return model_input


def save_identity(folder: Path) -> Path:
    example = batch_of(0).slice(0, 2).to_pandas()
    with by_value(__name__):
        servery.save_model(Identity(), folder, input_example=example, requirements=["pandas", "pyarrow"])
    return folder


def batch_of(number: int) -> Any:
    """The record batch of a number: no value is in another one."""
    values = np.arange(ROWS * COLUMNS, dtype=np.float64).reshape(COLUMNS, ROWS) + number * ROWS * COLUMNS
    return pa.record_batch({f"x{column}": values[column] for column in range(COLUMNS)})


def body_of(batches: int) -> Iterator[bytes]:
    """The bytes of a stream of so many record batches, as pyarrow's writer has them."""

    class Sink:
        closed = False

        def __init__(self) -> None:
            self.written: list[bytes] = []

        def write(self, data: Any) -> int:
            self.written.append(bytes(data))
            return len(data)

        def flush(self) -> None: ...

        def take(self) -> bytes:
            data, self.written = b"".join(self.written), []
            return data

    sink = Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), batch_of(0).schema) as writer:
        for number in range(batches):
            writer.write_batch(batch_of(number))
            yield sink.take()
    yield sink.take()


@dataclass
class Memory:
    """Resident bytes of a server's gateway and its only worker: when it began to be watched, and at most since."""

    gateway_start: int = 0
    worker_start: int = 0
    gateway_peak: int = 0
    worker_peak: int = 0

    @property
    def gateway_growth(self) -> int:
        return self.gateway_peak - self.gateway_start

    @property
    def worker_growth(self) -> int:
        return self.worker_peak - self.worker_start


class Watch:
    """Samples the memory of a server for as long as the block runs."""

    def __init__(self, server: Server) -> None:
        self._gateway = psutil.Process(server.process.pid)
        [self._worker] = server.workers()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        gateway, worker = self._resident()
        self.memory = Memory(gateway, worker, gateway, worker)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self.memory

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _resident(self) -> tuple[int, int]:
        return self._gateway.memory_info().rss, self._worker.memory_info().rss

    def _sample(self) -> None:
        while not self._over.wait(0.01):
            gateway, worker = self._resident()
            self.memory.gateway_peak = max(self.memory.gateway_peak, gateway)
            self.memory.worker_peak = max(self.memory.worker_peak, worker)


def flow(server: Server, batches: int) -> int:
    """Send so many record batches and read them back meanwhile; the seconds that it took.

    Raises AssertionError where one comes back otherwise than it went.
    """
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", "/invocations")
    for name, value in (("Content-Type", ARROW), ("Accept", ARROW), ("Transfer-Encoding", "chunked")):
        connection.putheader(name, value)
    connection.endheaders()

    def send() -> None:
        for piece in body_of(batches):
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.send(b"0\r\n\r\n")

    sender = threading.Thread(target=send)
    sender.start()
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    with pa.ipc.open_stream(answer) as reader:
        for number in range(batches):
            assert reader.read_next_batch().equals(batch_of(number)), number
        assert list(reader) == []
    sender.join()
    connection.close()
    return int(time.monotonic() - began)
