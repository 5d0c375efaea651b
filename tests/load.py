"""An open-loop load on a gateway: requests leave at their planned times, and every answer is held to account.

Each request carries a nonce of its own, which its answer must repeat, so that an answer given to the wrong request
is seen. Nothing is retried.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Outcome(Enum):
    OK = "ok"
    SHED = "shed"
    """429 or 503 with Retry-After."""
    DEADLINE = "deadline"
    CLIENT = "client error"
    FAIL = "fail"
    """Reset, refused, empty, 5xx otherwise, or a wrong answer."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was sent and answered (seconds of the loop's clock), by which version, and how it ended."""

    sent: float
    answered: float
    version: str
    outcome: Outcome
    detail: str = ""


@dataclass(slots=True)
class Load:
    """Drives ``path`` with ``connections`` keep-alive connections, ``per_second`` requests in all, until stopped.

    ``body(nonce)`` makes a request's body, ``check(nonce, predictions)`` says whether the answer is right.
    """

    port: int
    path: str
    body: Callable[[int], dict[str, Any]]
    check: Callable[[int, Any], bool]
    connections: int = 8
    per_second: float = 500.0
    samples: list[Sample] = field(default_factory=list)
    _stopped: bool = False
    _nonces: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def stop(self) -> None:
        self._stopped = True

    @property
    def outcomes(self) -> Counter[Outcome]:
        return Counter(sample.outcome for sample in self.samples)

    @property
    def failures(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.outcome is not Outcome.OK]

    async def run(self) -> None:
        await asyncio.gather(*(self._connection() for _ in range(self.connections)))

    async def _connection(self) -> None:
        pause = self.connections / self.per_second
        loop = asyncio.get_running_loop()
        planned = loop.time()
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._stopped:
            planned += pause
            await asyncio.sleep(max(0.0, planned - loop.time()))
            nonce = next(self._nonces)
            sent = loop.time()
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                status, headers, body = await self._exchange(*streams, nonce)
                sample = self._judge(nonce, sent, loop.time(), status, headers, body)
                if headers.get("connection") == "close":
                    streams[1].close()
                    streams = None
            except (OSError, asyncio.IncompleteReadError) as error:
                sample = Sample(sent, loop.time(), "", Outcome.FAIL, repr(error))
                streams = None
            self.samples.append(sample)
        if streams is not None:
            streams[1].close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, nonce: int
    ) -> tuple[int, dict[str, str], bytes]:
        body = json.dumps(self.body(nonce)).encode()
        writer.write(
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status_line, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            answer = await reader.readexactly(int(headers["content-length"]))
        return int(status_line.split()[1]), headers, answer

    def _judge(
        self, nonce: int, sent: float, answered: float, status: int, headers: dict[str, str], body: bytes
    ) -> Sample:
        version = headers.get("x-model-version", "")
        detail = f"{status} {body[:200]!r}"
        if status == 200:
            right = self.check(nonce, json.loads(body).get("predictions"))
            return Sample(sent, answered, version, Outcome.OK if right else Outcome.FAIL, "" if right else detail)
        if status in {429, 503} and "retry-after" in headers:
            return Sample(sent, answered, version, Outcome.SHED, detail)
        if status == 504:
            return Sample(sent, answered, version, Outcome.DEADLINE, detail)
        outcome = Outcome.CLIENT if 400 <= status < 500 else Outcome.FAIL
        return Sample(sent, answered, version, outcome, detail)
