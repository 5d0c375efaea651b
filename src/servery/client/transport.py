"""Requests to a server over kept-open connections; every way to fail becomes one error of ours.

Error bodies are MLflow's: ``{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "…"}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from servery.errors import AlreadyExists, InvalidInput, NotFound, RemoteError, ServeryError, Unreachable

if TYPE_CHECKING:
    import httpx

_CONNECT_TIMEOUT_SECONDS = 5.0


class Transport:
    """One server's address and the connections to it. May be used from several threads.

    ``advice`` is the second half of the sentence that people read when nothing answers.
    """

    def __init__(self, server: str, *, timeout_seconds: float, advice: str) -> None:
        if not server.startswith(("http://", "https://")):
            raise InvalidInput("server", expected="an address such as http://127.0.0.1:8400", got=server)
        self.server = server.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._advice = advice
        self._connections: httpx.Client | None = None

    def close(self) -> None:
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, Any]:
        """One call; its answer's JSON object.

        Raises:
            NotFound, AlreadyExists: the server says so.
            RemoteError: it refused for another reason, or did not answer (Unreachable).
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        response = self.send(
            method, path, query=query, content=content, headers=headers, timeout_seconds=timeout_seconds
        )
        if not response.content:
            return {}
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise RemoteError(f"{self.server} answered {method} {path} with no JSON object; is it a Servery server?")
        return answer

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> httpx.Response:
        """One call; its whole answer. Raises as :meth:`json`."""
        with self.stream(
            method, path, query=query, content=content, headers=headers, timeout_seconds=timeout_seconds
        ) as response:
            response.read()
        return response

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Iterator[httpx.Response]:
        """One call; its answer's body is for the caller to read. Raises as :meth:`json`."""
        import httpx

        timeout = httpx.Timeout(timeout_seconds or self._timeout_seconds, connect=_CONNECT_TIMEOUT_SECONDS)
        url = self.server + path
        try:
            with self._open().stream(
                method, url, params=query, content=content, headers=headers, timeout=timeout
            ) as response:
                if response.is_error:
                    response.read()
                    raise _error_of(response, f"{method} {path}")
                yield response
        except httpx.ConnectError:
            raise Unreachable(f"Nothing answers at {self.server}; {self._advice}.") from None
        except httpx.TimeoutException:
            raise Unreachable(f"{self.server} did not answer {method} {path} in time.") from None
        except httpx.InvalidURL:
            raise InvalidInput("server", expected="an address such as http://127.0.0.1:8400", got=self.server) from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"The connection to {self.server} broke during {method} {path} ({reason}).") from None

    def _open(self) -> httpx.Client:
        if self._connections is None:
            import httpx

            # A proxy named in the environment is for the outside world, not for a server that was addressed by hand.
            self._connections = httpx.Client(trust_env=False, headers={"User-Agent": "servery"})
        return self._connections


def _error_of(response: httpx.Response, call: str) -> ServeryError:
    try:
        body = response.json()
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}
    told = fields.get("message") or fields.get("detail")
    message = str(told or f"{response.url} answered {call} with {response.status_code}.")
    error_code = str(fields.get("error_code") or "") or None
    if error_code == "RESOURCE_DOES_NOT_EXIST":
        return NotFound("Resource", response.url.path, message=message)
    if error_code == "RESOURCE_ALREADY_EXISTS":
        return AlreadyExists("Resource", response.url.path, message=message)
    return RemoteError(message, status=response.status_code, error_code=error_code)
