"""The standard health service: SERVING while every route can be answered, NOT_SERVING before that and while draining.

It knows the whole gateway, by the empty name, and the inference service by its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from servery.errors import NotFound
from servery.serving.grpc.codes import failure_of_error
from servery.serving.grpc.messages import INFERENCE, Method
from servery.serving.site import Site

Context = grpc.aio.ServicerContext[bytes, bytes]
_KNOWN = frozenset({"", INFERENCE})


class Health:
    def __init__(self, site: Site, is_ready: Callable[[], bool], methods: Mapping[str, Method]) -> None:
        self._site = site
        self._is_ready = is_ready
        self._methods = methods

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self._check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }

    async def _check(self, body: bytes, context: Context) -> bytes:
        method = self._methods["Check"]
        service = str(method.read(body).get("service", ""))
        if service not in _KNOWN:
            await failure_of_error(NotFound("Service", service[:100])).abort(context)
        return method.write({"status": self._status(service)})

    async def _watch(self, body: bytes, context: Context) -> None:
        method = self._methods["Watch"]
        service = str(method.read(body).get("service", ""))
        watch = _Watch(lambda: self._status(service))
        self._site.connections.add(watch)
        try:
            async for status in watch:
                await context.write(method.write({"status": status}))
        finally:
            self._site.connections.discard(watch)

    def _status(self, service: str) -> str:
        if service not in _KNOWN:
            return "SERVICE_UNKNOWN"
        return "SERVING" if self._is_ready() and not self._site.draining else "NOT_SERVING"


class _Watch:
    """One caller that is told of every change, within a second; ends when the gateway drains."""

    def __init__(self, status: Callable[[], str]) -> None:
        self._status = status
        self._told: str | None = None
        self._looking = asyncio.Event()
        self._looking.set()
        self._ending = False

    def check(self, second: int) -> None:  # noqa: ARG002
        self._looking.set()

    def close_when_idle(self) -> None:
        self._ending = True
        self._looking.set()

    def __aiter__(self) -> _Watch:
        return self

    async def __anext__(self) -> Any:
        while True:
            await self._looking.wait()
            self._looking.clear()
            status = self._status()
            if status != self._told:
                self._told = status
                self._looking.set()
                return status
            if self._ending:
                raise StopAsyncIteration
