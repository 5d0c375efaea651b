"""The time of day, for what an answer says of when it was made. Given as an argument to whoever tells it."""

from __future__ import annotations

import time


def now_seconds() -> int:
    """Whole seconds since 1970, UTC."""
    return int(time.time())
