"""A small load generator: a few connections that ask one after the other without a pause, and count honestly.

Whatever is not status 200 with one known label is a failure: another status, another shape, a broken connection.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from servery.clock import Clock

BUCKET_SECONDS = 0.25
_ANSWER_TIMEOUT_SECONDS = 30.0
_AFTER_FAILURE_SECONDS = 0.05


@dataclass(slots=True)
class Counts:
    """What has happened so far. ``answers`` has a counter of versions for each bucket of time."""

    answers: list[Counter[str]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return len(self.latencies_ms) + self.failures.total()

    @property
    def versions(self) -> list[str]:
        return sorted({version for bucket in self.answers for version in bucket})

    def latency_ms(self, quantile: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(len(ordered) * quantile), len(ordered) - 1)] if ordered else 0.0


class BadAnswer(Exception):
    """Counted by its text."""


class Load:
    """Asks ``url`` about texts; ``labels`` are the answers that are right in shape."""

    def __init__(self, url: str, texts: Sequence[str], labels: Sequence[str], clock: Clock) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._requests = [_request(parts.netloc, parts.path, text) for text in texts]
        self._labels = frozenset(labels)
        self._clock = clock
        self._started = clock.monotonic()
        self.counts = Counts()

    async def run(self, connections: int, stop: asyncio.Event) -> Counts:
        """Until ``stop`` is set; requests that are under way then are still answered."""
        self._started = self._clock.monotonic()
        await asyncio.gather(*(self._ask(number, connections, stop) for number in range(connections)))
        self.counts.seconds = self._clock.monotonic() - self._started
        return self.counts

    async def _ask(self, number: int, step: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            writer: asyncio.StreamWriter | None = None
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
                while not stop.is_set():
                    number += step
                    await self._one(reader, writer, self._requests[number % len(self._requests)])
            except (OSError, BadAnswer, EOFError, TimeoutError) as error:
                self.counts.failures[str(error) or type(error).__name__] += 1
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)
            finally:
                if writer is not None:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        began = self._clock.monotonic()
        writer.write(request)
        async with asyncio.timeout(_ANSWER_TIMEOUT_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = _parse_head(head)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        ended = self._clock.monotonic()
        if status != 200:
            raise BadAnswer(f"status {status}")
        if not self._is_right(body):
            raise BadAnswer("an answer of another shape")
        bucket = int((ended - self._started) / BUCKET_SECONDS)
        while len(self.counts.answers) <= bucket:
            self.counts.answers.append(Counter())
        self.counts.answers[bucket][headers.get("x-model-version", "unknown")] += 1
        self.counts.latencies_ms.append((ended - began) * 1000)

    def _is_right(self, body: bytes) -> bool:
        try:
            predictions = json.loads(body)["predictions"]
            return len(predictions) == 1 and predictions[0] in self._labels
        except (ValueError, KeyError, TypeError):
            return False


def _request(host: str, path: str, text: str) -> bytes:
    body = json.dumps({"inputs": [text]}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    try:
        return int(lines[0].split(" ")[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}
    except (IndexError, ValueError):
        raise BadAnswer("an answer that is no HTTP") from None
