"""What a caller's arguments come to: the one place that both clients share their reading of."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from servery.client.predictions.calls import Calls, Question
from servery.client.predictions.encodings import Encode, encoder_of, events_encoder_of, ready
from servery.client.predictions.gateways import Gateways
from servery.client.predictions.retries import RetryPolicy
from servery.clock import Clock
from servery.config import ClientConfig, load_config
from servery.errors import InvalidInput

STREAM_TIMEOUT_SECONDS = 600.0
"""As long as a gateway lets a stream take unless it is told otherwise."""
_TEXT_LENGTH_MAX = 128
"""What a gateway takes as an ``X-Request-Id``."""


def server_of(server: str | None) -> str:
    """The control plane's address: as given, or as the environment or the settings file have it."""
    return address_of(load_config(ClientConfig, {}).server if server is None else server, field="server")


def address_of(text: str, *, field: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise InvalidInput(field, expected="an address such as http://127.0.0.1:8400", got=text)
    return text.rstrip("/")


class Questions:
    """Makes questions of arguments; ``timeout_seconds`` is for those that name none."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds

    def of_data(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None,
        *,
        timeout_seconds: float | None,
        request_id: str | None,
    ) -> Question:
        return self._question(endpoint, encoder_of(data, params), timeout_seconds, request_id)

    def of_stream(
        self,
        endpoint: str | None,
        data: Any,
        params: Mapping[str, Any] | None,
        *,
        timeout_seconds: float | None,
        stream_timeout_seconds: float,
        request_id: str | None,
    ) -> Question:
        question = self._question(endpoint, events_encoder_of(data, params), timeout_seconds, request_id)
        return replace(question, stream_timeout_seconds=stream_timeout_seconds)

    def of_body(
        self,
        endpoint: str | None,
        body: bytes,
        content_type: str,
        *,
        timeout_seconds: float | None,
        request_id: str | None,
    ) -> Question:
        encode = ready(body, _printable("content_type", content_type))
        return self._question(endpoint, encode, timeout_seconds, request_id)

    def _question(
        self, endpoint: str | None, encode: Encode, timeout_seconds: float | None, request_id: str | None
    ) -> Question:
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        given = secrets.token_hex(8) if request_id is None else _printable("request_id", request_id)
        return Question(endpoint, encode, seconds, given)


def calls_of(*, control: str, gateway: str | None, retries: RetryPolicy, clock: Clock, random: Random) -> Calls:
    fixed = None if gateway is None else address_of(gateway, field="gateway")
    return Calls(Gateways(control=control, gateway=fixed, clock=clock), retries, clock, random)


def _printable(field: str, text: str) -> str:
    if not (text.isascii() and text.isprintable() and 0 < len(text) <= _TEXT_LENGTH_MAX):
        raise InvalidInput(field, expected=f"1 to {_TEXT_LENGTH_MAX} printable ASCII characters", got=text)
    return text
