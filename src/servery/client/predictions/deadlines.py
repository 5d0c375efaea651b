"""Sockets that know when the whole call ends.

httpcore hands a timeout to each read and each write, the same one every time. Here that number is not a duration but
the moment at which the call is over (``connections`` puts it there), so that all waits of a call share one bound.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from servery.clock import Clock

_CONNECT_SECONDS_MAX = 5.0


class DeadlineBackend(httpcore.NetworkBackend):
    """Connects as ``httpcore.SyncBackend`` does; every ``timeout`` is a time of the clock's ``monotonic``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        seconds = min(_left(self._clock, timeout, httpcore.ConnectTimeout), _CONNECT_SECONDS_MAX)
        return _Stream(self._inner.connect_tcp(host, port, seconds, local_address, socket_options), self._clock)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        socket, unsent = self._inner.get_extra_info("socket"), memoryview(buffer)
        try:
            while unsent:
                socket.settimeout(self._left(timeout, httpcore.WriteTimeout))
                unsent = unsent[socket.send(unsent) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(error) from error
        except OSError as error:
            raise httpcore.WriteError(error) from error

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = min(self._left(timeout, httpcore.ConnectTimeout), _CONNECT_SECONDS_MAX)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def _left(self, moment: float | None, late: type[httpcore.TimeoutException]) -> float:
        return _left(self._clock, moment, late)


def _left(clock: Clock, moment: float | None, late: type[httpcore.TimeoutException]) -> float:
    """Seconds until the call is over; raises ``late`` where it is."""
    if moment is None:
        raise AssertionError("every request says when it is over")
    seconds = moment - clock.monotonic()
    if seconds <= 0:
        raise late("the deadline passed")
    return seconds
