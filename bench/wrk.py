"""The load generator: wrk, on one thread, with the latencies and the errors that it counted."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("post.lua")
_WARMUP_SECONDS = 1
_ANSWER_TIMEOUT_SECONDS = 30
"""Longer than any wait that a slow peer has shown; wrk's own two seconds would count its answers as lost."""
_GRACE_SECONDS = 60


class GeneratorMissing(Exception):
    """wrk is not installed."""


class GeneratorFailed(Exception):
    """wrk ended without a result. ``str(error)`` is one sentence."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one number of connections gave. ``refused`` counts answers other than 2xx and 3xx, ``broken`` those
    that never came: connections refused or lost, and timeouts.
    """

    connections: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    refused: int = 0
    broken: int = 0
    over_predict_ms: float | None = None
    """How much the p50 of one connection is above that of the bare model, the two measured in turn."""

    @property
    def failed(self) -> bool:
        return self.refused + self.broken > 0 or self.requests_per_second == 0


def require_wrk() -> str:
    """The path of wrk.

    Raises:
        GeneratorMissing: it is not on PATH.
    """
    path = shutil.which("wrk")
    if path is None:
        raise GeneratorMissing("The load generator wrk is missing; install the package 'wrk' of your system.")
    return path


def measure(url: str, body: Path, *, connections: int, seconds: int) -> Point:
    """Warm ``url`` up with the same load, then measure it.

    Raises:
        GeneratorFailed: wrk gave no result.
    """
    _run(url, body, connections, _WARMUP_SECONDS)
    return _run(url, body, connections, seconds)


def _run(url: str, body: Path, connections: int, seconds: int) -> Point:
    command = [require_wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{_ANSWER_TIMEOUT_SECONDS}s"]
    command += ["-s", str(_SCRIPT), url, "--", str(body)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, check=True)
        found = json.loads(ended.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        raise GeneratorFailed(
            f"wrk ended with {error.returncode}: {error.stderr.strip() or error.stdout.strip()}."
        ) from None
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise GeneratorFailed(f"wrk gave no result for {url}: {error}.") from None
    return Point(
        connections=connections,
        requests_per_second=found["requests"] / (found["duration_us"] / 1e6),
        p50_ms=found["p50_us"] / 1e3,
        p99_ms=found["p99_us"] / 1e3,
        refused=found["refused"],
        broken=found["broken"],
    )
