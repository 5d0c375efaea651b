"""Counts of a gateway's requests: plain integers on the hot path, read by metrics, tests and reports alike."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

LATENCY_BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class RequestStatistics:
    """One endpoint's requests to one version."""

    endpoint: str
    version: str
    by_status: dict[int, int]
    latency_buckets: tuple[int, ...]
    """How many took up to each bound, and one more for those that took longer; not cumulative."""
    latency_sum_seconds: float
    coerced: int
    """Requests of which a value was changed to fit its type."""
    failed: int = 0
    """Answers that are errors, and what those took."""
    failed_seconds: float = 0.0
    queue_seconds: float = 0.0
    """What the requests that came to a worker have waited for it, in all."""
    last_arrived: float = 0.0
    """When the newest of these arrived, by the monotonic clock."""
    batches: tuple[BatchStatistics, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """What came back from workers in batches of one size."""

    requests: int
    """The size: how many requests each batch had."""
    answers: int
    seconds: tuple[float, float, float]
    """What decoding, predicting and encoding took, each batch's once for each of its answers."""


class RequestCounts:
    """What one endpoint's requests to one version came to. Written by the event loop only."""

    __slots__ = (
        "_batches",
        "_buckets",
        "_by_status",
        "_coerced",
        "_endpoint",
        "_failed",
        "_failed_sum",
        "_last",
        "_queue_sum",
        "_sum",
        "_version",
    )

    def __init__(self, endpoint: str, version: str) -> None:
        self._endpoint = endpoint
        self._version = version
        self._by_status: dict[int, int] = {}
        self._buckets = [0] * (len(LATENCY_BOUNDS_SECONDS) + 1)
        self._sum = 0.0
        self._coerced = 0
        self._failed = 0
        self._failed_sum = 0.0
        self._queue_sum = 0.0
        self._last = 0.0
        self._batches: dict[int, list[float]] = {}

    def add(self, status: int, latency_seconds: float) -> None:
        self._by_status[status] = self._by_status.get(status, 0) + 1
        self._buckets[bisect_left(LATENCY_BOUNDS_SECONDS, latency_seconds)] += 1
        self._sum += latency_seconds
        if status >= _FIRST_ERROR:
            self._failed += 1
            self._failed_sum += latency_seconds

    def add_batch(
        self, requests: int, arrived: float, queue_seconds: float, seconds: tuple[float, float, float]
    ) -> None:
        """A worker's answer, good or bad, to one of the ``requests`` that it answered together in these ``seconds``."""
        sums = self._batches.get(requests)
        if sums is None:
            sums = self._batches[requests] = [0.0, 0.0, 0.0, 0.0]
        decode, predict, encode = seconds
        sums[0] += 1
        sums[1] += decode
        sums[2] += predict
        sums[3] += encode
        self._queue_sum += queue_seconds
        self._last = arrived

    def add_coerced(self) -> None:
        self._coerced += 1

    def statistics(self) -> RequestStatistics:
        batches = (
            BatchStatistics(requests, int(answers), (decode, predict, encode))
            for requests, (answers, decode, predict, encode) in sorted(self._batches.items())
        )
        return RequestStatistics(
            self._endpoint,
            self._version,
            dict(self._by_status),
            tuple(self._buckets),
            self._sum,
            self._coerced,
            failed=self._failed,
            failed_seconds=self._failed_sum,
            queue_seconds=self._queue_sum,
            last_arrived=self._last,
            batches=tuple(batches),
        )
