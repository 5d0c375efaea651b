"""How tasks of the event loop wait for a condition without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Signal:
    """Wakes all who wait, each of whom then looks for itself. Only for the event loop's thread."""

    def __init__(self) -> None:
        self.count = 0
        """How often it was given."""
        self._event = asyncio.Event()

    def give(self) -> None:
        self.count += 1
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def until(self, condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
        """Wait until the condition holds, looking now and at each signal; False when the time is over."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while not condition():
                    await self._event.wait()
        except TimeoutError:
            return condition()
        return True

    async def after(self, count: int, *, timeout_seconds: float) -> bool:
        """Wait until it has been given more often than ``count`` times; False when the time is over."""
        return await self.until(lambda: self.count > count, timeout_seconds=timeout_seconds)
