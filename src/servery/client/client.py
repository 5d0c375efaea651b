"""The client of a Servery server: registry, endpoints, predictions."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from servery.client.endpoint_calls import EndpointCalls
from servery.client.records import Prediction
from servery.client.registry_calls import RegistryCalls
from servery.client.scoring import encode_request
from servery.client.transport import Transport, Unreachable
from servery.clock import Clock, SystemClock
from servery.config import ClientConfig, load_config
from servery.errors import RemoteError
from servery.names import parse_endpoint_name

_ADVICE = "start a server there with 'servery up', or name another with --server or SERVERY_SERVER"


class Client(RegistryCalls, EndpointCalls):
    """A server's registry, endpoints and gateways. Connections are reused; close it, or use it in a ``with``.

    May be used from several threads. Every method raises RemoteError where the server refuses (NotFound and
    AlreadyExists where that is the reason) or does not answer, and InvalidInput before asking it.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        move_timeout_seconds: float = 900.0,
        clock: Clock | None = None,
    ) -> None:
        """Without ``server``, the one that ``SERVERY_SERVER`` or ``servery.toml`` names, or the one on this machine.

        ``move_timeout_seconds`` is for calls that the server answers when endpoints have moved.
        """
        server = load_config(ClientConfig, {}).server if server is None else server
        self._timeout_seconds = timeout_seconds
        control = Transport(server, timeout_seconds=timeout_seconds, advice=_ADVICE)
        RegistryCalls.__init__(self, control, move_timeout_seconds=move_timeout_seconds)
        EndpointCalls.__init__(self, control, clock or SystemClock(), move_timeout_seconds=move_timeout_seconds)
        self._gateways: dict[str, Transport] = {}
        self._addresses: dict[str, str] = {}

    @property
    def server(self) -> str:
        return self._server.server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for transport in (self._server, *self._gateways.values()):
            transport.close()

    def predict(self, endpoint: str, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The model's predictions for a frame, an array, a list or a mapping."""
        return self.ask(endpoint, encode_request(data, params)).predictions

    def ask(self, endpoint: str, body: bytes, content_type: str = "application/json") -> Prediction:
        """Send a ready body to the endpoint's gateway; its answer with the version that gave it."""
        name = parse_endpoint_name(endpoint)
        gateway, path = self._gateway_of(name)
        started = self._clock.monotonic()
        try:
            response = gateway.send("POST", path, content=body, headers={"Content-Type": content_type})
        except Unreachable:
            self._addresses.pop(name, None)
            raise
        latency_ms = (self._clock.monotonic() - started) * 1000
        answer = response.json()
        wrapped = isinstance(answer, dict) and "predictions" in answer
        return Prediction(
            predictions=answer["predictions"] if wrapped else answer,
            model_version=response.headers.get("X-Model-Version"),
            request_id=response.headers.get("X-Request-Id"),
            latency_ms=latency_ms,
            coerced=tuple(unquote(name) for name in response.headers.get("X-Servery-Coerced", "").split(", ") if name),
        )

    def _gateway_of(self, name: str) -> tuple[Transport, str]:
        address = self._addresses.get(name)
        if address is None:
            address = self.endpoint(name).url
            if address is None:
                raise RemoteError(f"No gateway serves endpoint '{name}' now; start one with 'servery gateway'.")
            self._addresses[name] = address
        base, _, _ = address.partition("/endpoints/")
        if base not in self._gateways:
            advice = "the gateway is down; start it with 'servery gateway' or 'servery up'"
            self._gateways[base] = Transport(base, timeout_seconds=self._timeout_seconds, advice=advice)
        return self._gateways[base], f"/endpoints/{name}/invocations"
