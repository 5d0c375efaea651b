"""The client's calls to endpoints: deploy, wait, look, roll back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

from servery.client.records import Endpoint, Update, read_endpoint
from servery.client.registry_calls import registered_uri
from servery.client.transport import Transport
from servery.clock import Clock
from servery.errors import DeadlinePassed, NotFound, RemoteError
from servery.names import UriKind, parse_endpoint_name

_ENDPOINTS = "/api/2.0/serving-endpoints"
_SERVERY = "/api/2.0/servery"
_POLL_SECONDS = 0.1


class DeployFailed(RemoteError):
    """An endpoint's move failed, ``cause`` says why; what it served before goes on serving."""

    def __init__(self, endpoint: str, cause: str) -> None:
        super().__init__(f"Endpoint '{endpoint}' did not move: {cause}")
        self.endpoint = endpoint
        self.cause = cause


class EndpointCalls:
    """What :class:`servery.Client` knows of endpoints."""

    def __init__(self, server: Transport, clock: Clock, *, move_timeout_seconds: float) -> None:
        self._server = server
        self._clock = clock
        self._move_timeout_seconds = move_timeout_seconds

    def deploy(
        self,
        endpoint: str,
        model: str | Sequence[tuple[str, int]],
        *,
        replicas: int = 1,
        strict: bool | None = None,
        environment_vars: Mapping[str, str] | None = None,
        allow_incompatible: bool = False,
        wait: bool = True,
        timeout_seconds: float = 600.0,
        progress: Callable[[Endpoint], None] | None = None,
    ) -> Endpoint:
        """Create the endpoint, or move it, to one model or to several with their percentages of the requests.

        ``environment_vars`` are set for the workers of each model; who may see endpoints may read them. With ``strict``
        it refuses requests that would lose something in a coercion; None leaves that as it is.

        Raises:
            RemoteError: refused; with the error code INVALID_STATE where callers of what serves could not call the
                new version, and ``allow_incompatible`` does not insist.
            DeployFailed: a version does not load; what served before goes on serving.
            DeadlinePassed: it is not ready in ``timeout_seconds``; the server goes on trying.
        """
        name = parse_endpoint_name(endpoint)
        config = _config_of([(model, 100)] if isinstance(model, str) else model, replicas, environment_vars or {})
        if strict is not None:
            config["strict"] = strict
        try:
            self.endpoint(name)
        except NotFound:
            found = read_endpoint(self._server.json("POST", _ENDPOINTS, body={"name": name, "config": config}))
        else:
            config["allow_incompatible"] = allow_incompatible
            found = read_endpoint(self._server.json("PUT", f"{_ENDPOINTS}/{name}/config", body=config))
        return self.wait(name, timeout_seconds=timeout_seconds, progress=progress) if wait else found

    def wait(
        self, endpoint: str, *, timeout_seconds: float = 600.0, progress: Callable[[Endpoint], None] | None = None
    ) -> Endpoint:
        """Wait until the endpoint's newest config serves. Raises as :meth:`deploy`."""
        deadline = self._clock.monotonic() + timeout_seconds
        pause = Event()  # Never set: it only bounds how often the server is asked.
        while True:
            found = self.endpoint(endpoint)
            if progress is not None:
                progress(found)
            if found.update in (Update.FAILED, Update.CANCELED):
                raise DeployFailed(endpoint, found.failure or "the server told no reason.")
            if found.update is Update.DONE and found.ready:
                return found
            if self._clock.monotonic() > deadline:
                raise DeadlinePassed(timeout_seconds)
            pause.wait(_POLL_SECONDS)

    def rollback(self, endpoint: str, *, wait: bool = True, timeout_seconds: float = 600.0) -> Endpoint:
        """Move the endpoint back to what it served before its last change. Raises as :meth:`deploy`."""
        name = parse_endpoint_name(endpoint)
        answer = self._server.json(
            "POST", f"{_SERVERY}/endpoints/{name}/rollback", body={}, timeout_seconds=self._move_timeout_seconds
        )
        return self.wait(name, timeout_seconds=timeout_seconds) if wait else read_endpoint(answer)

    def endpoint(self, name: str) -> Endpoint:
        return read_endpoint(self._server.json("GET", f"{_ENDPOINTS}/{parse_endpoint_name(name)}"))

    def endpoints(self) -> list[Endpoint]:
        answer = self._server.json("GET", _ENDPOINTS)
        return [read_endpoint(fields) for fields in answer.get("endpoints") or ()]

    def delete_endpoint(self, name: str) -> None:
        self._server.json("DELETE", f"{_ENDPOINTS}/{parse_endpoint_name(name)}")


def _config_of(models: Sequence[tuple[str, int]], replicas: int, variables: Mapping[str, str]) -> dict[str, Any]:
    entities: list[dict[str, Any]] = []
    routes: list[dict[str, Any]] = []
    for model_uri, percent in models:
        uri = registered_uri(model_uri)
        wanted = str(uri.version) if uri.kind is UriKind.VERSION else f"@{uri.alias}"
        name = re.sub(r"[^A-Za-z0-9_-]", "-", f"{uri.name}-{wanted.removeprefix('@')}")[:128]
        entity = {"name": name, "entity_name": uri.name, "entity_version": wanted}
        given = {"environment_vars": dict(variables)} if variables else {}
        entities.append({**entity, "min_provisioned_concurrency": replicas, **given})
        routes.append({"served_entity_name": name, "traffic_percentage": percent})
    return {"served_entities": entities, "traffic_config": {"routes": routes}}
