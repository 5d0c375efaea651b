"""Counts of a gateway's requests: plain integers on the hot path, read by metrics, tests and reports alike."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

LATENCY_BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


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


class RequestCounts:
    """What one endpoint's requests to one version came to. Written by the event loop only."""

    __slots__ = ("_buckets", "_by_status", "_coerced", "_endpoint", "_sum", "_version")

    def __init__(self, endpoint: str, version: str) -> None:
        self._endpoint = endpoint
        self._version = version
        self._by_status: dict[int, int] = {}
        self._buckets = [0] * (len(LATENCY_BOUNDS_SECONDS) + 1)
        self._sum = 0.0
        self._coerced = 0

    def add(self, status: int, latency_seconds: float) -> None:
        self._by_status[status] = self._by_status.get(status, 0) + 1
        self._buckets[bisect_left(LATENCY_BOUNDS_SECONDS, latency_seconds)] += 1
        self._sum += latency_seconds

    def add_coerced(self) -> None:
        self._coerced += 1

    def statistics(self) -> RequestStatistics:
        return RequestStatistics(
            self._endpoint, self._version, dict(self._by_status), tuple(self._buckets), self._sum, self._coerced
        )
