"""The client of a Servery server: registry, endpoints, predictions."""

from __future__ import annotations

from random import Random
from types import TracebackType
from typing import Self

from servery.client.endpoint_calls import EndpointCalls
from servery.client.predict_calls import PredictCalls
from servery.client.predictions.connections import Connections
from servery.client.predictions.questions import Questions, calls_of, server_of
from servery.client.predictions.retries import RetryPolicy
from servery.client.registry_calls import RegistryCalls
from servery.client.transport import Transport
from servery.clock import Clock, SystemClock

_ADVICE = "start a server there with 'servery up', or name another with --server or SERVERY_SERVER"


class Client(RegistryCalls, EndpointCalls, PredictCalls):
    """A server's registry, endpoints and gateways. Connections are reused; close it, or use it in a ``with``.

    May be used from several threads. Every method raises RemoteError where the server refuses (NotFound and
    AlreadyExists where that is the reason) or does not answer, and InvalidInput before asking it.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        gateway: str | None = None,
        timeout_seconds: float = 60.0,
        move_timeout_seconds: float = 900.0,
        retries: RetryPolicy | None = None,
        connections_max: int = 64,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        """Without ``server``, the one that ``SERVERY_SERVER`` or ``servery.toml`` names, or the one on this machine.

        ``gateway`` is the address that all predictions are asked for, such as that of ``servery serve``; without it the
        server says where each endpoint is. ``timeout_seconds`` bounds a whole call for predictions, its retries with
        it, and each wait of any other call; ``move_timeout_seconds`` is for calls that the server answers when
        endpoints have moved. ``connections_max`` is how many calls for predictions are under way at once; others wait.
        """
        server, clock = server_of(server), clock or SystemClock()
        control = Transport(server, timeout_seconds=timeout_seconds, advice=_ADVICE)
        RegistryCalls.__init__(self, control, move_timeout_seconds=move_timeout_seconds)
        EndpointCalls.__init__(self, control, clock, move_timeout_seconds=move_timeout_seconds)
        calls = calls_of(
            control=server,
            gateway=gateway,
            retries=retries or RetryPolicy(),
            clock=clock,
            random=random or Random(),  # noqa: S311 - jitter
        )
        connections = Connections(clock, connections_max=connections_max)
        PredictCalls.__init__(self, calls, connections, Questions(timeout_seconds=timeout_seconds))

    @property
    def server(self) -> str:
        return self._server.server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._server.close()
        self._connections.close()
