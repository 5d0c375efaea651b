"""Calls to an MLflow server: with its credentials, tried again where that helps, told in a sentence where not.

The credentials go to the server that was named and nowhere else: no redirect is followed, and no message, record or
``repr`` has them. The REST API is that of MLflow 2 and 3 (``/api/2.0/mlflow/…``).
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from servery.config import LOOPBACK, MlflowConfig
from servery.errors import ConfigInvalid, InvalidInput, NotFound, RemoteError, Unreachable

if TYPE_CHECKING:
    import httpx

Advance = Callable[[int], None]
"""Told how many more bytes have come; less than none when a file is begun anew."""

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
"""Before the second attempt; doubled before each further one."""
_PAUSE_SECONDS_MAX = 30.0
"""The longest that a server's Retry-After is obeyed."""
_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 60.0
"""How long a server may send nothing."""
_CHUNK_BYTES = 1 << 20
_BUSY = frozenset({429, 502, 503, 504})
_MESSAGE_LENGTH_MAX = 300

ResultT = TypeVar("ResultT")


class _Busy(RemoteError):
    """The server asks to come back later."""

    retry_after_seconds: float | None = None


class MlflowTransport:
    """One MLflow server's address and the connections to it. May be used from several threads; close it.

    All methods raise NotFound where the server says so, and RemoteError where it refuses or does not answer
    (Unreachable) in a bounded number of attempts.
    """

    def __init__(self, server: str, config: MlflowConfig) -> None:
        parts = urlsplit(server)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            shown = server.rpartition("@")[2]
            raise InvalidInput("MLflow server", expected="an address such as http://127.0.0.1:5000", got=shown)
        self.authority = parts.netloc.rpartition("@")[2]
        self.server = f"{parts.scheme}://{self.authority}{parts.path.rstrip('/')}"
        self._config = config
        self._login = _login(unquote(parts.username or ""), unquote(parts.password or ""), config)
        self._is_here = parts.hostname in LOOPBACK
        self._connections: httpx.Client | None = None
        self._lock = Lock()

    def close(self) -> None:
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def json(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """One call; its answer's JSON object."""

        def call() -> dict[str, Any]:
            content = None if body is None else json.dumps(body).encode()
            headers = {} if body is None else {"Content-Type": "application/json"}
            with self._answer(method, path, params=query, content=content, headers=headers) as response:
                response.read()
                try:
                    answer = response.json()
                except ValueError:
                    answer = None
                if not isinstance(answer, dict):
                    raise RemoteError(f"{self.server} answered {path} with no JSON object; is it an MLflow server?")
                return answer

        return self._tried(call)

    def download(self, path: str, target: Path, advance: Advance) -> int:
        """Write what lies at ``path`` to the new file ``target``; how many bytes it has."""

        def call() -> int:
            written = 0
            try:
                with self._answer("GET", path) as response, target.open("wb") as opened:
                    for chunk in response.iter_bytes(_CHUNK_BYTES):
                        opened.write(chunk)
                        written += len(chunk)
                        advance(len(chunk))
            except RemoteError:
                advance(-written)
                raise
            return written

        return self._tried(call)

    def _tried(self, call: Callable[[], ResultT]) -> ResultT:
        pause = Event()  # Never set: it only bounds how often the server is asked.
        for attempt in range(_ATTEMPTS):
            try:
                return call()
            except (Unreachable, _Busy) as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                asked = error.retry_after_seconds if isinstance(error, _Busy) else None
                pause.wait(min(asked or _PAUSE_SECONDS * 2**attempt, _PAUSE_SECONDS_MAX))
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _answer(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        import httpx

        try:
            with self._open().stream(method, self.server + path, **options) as response:
                if not response.is_success:
                    response.read()
                    raise self._error_of(response)
                yield response
        except httpx.ConnectError as error:
            cause = " (its TLS certificate is not trusted)" if "CERTIFICATE" in str(error).upper() else ""
            raise Unreachable(f"No MLflow server answers at {self.server}{cause}.") from None
        except httpx.TimeoutException:
            raise Unreachable(f"The MLflow server {self.server} did not answer in time.") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Unreachable(f"The connection to {self.server} broke ({type(error).__name__}).") from None

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._connections is None:
                import httpx

                self._connections = httpx.Client(
                    auth=self._login if isinstance(self._login, tuple) else None,
                    headers={"User-Agent": "servery"}
                    | ({"Authorization": f"Bearer {self._login}"} if isinstance(self._login, str) else {}),
                    verify=_verify(self._config),
                    follow_redirects=False,
                    timeout=httpx.Timeout(_READ_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS),
                    # A proxy that the environment names is for the outside world.
                    trust_env=not self._is_here,
                )
            return self._connections

    def _error_of(self, response: httpx.Response) -> RemoteError | NotFound:
        status = response.status_code
        if status in {401, 403}:
            message = (
                f"The MLflow server {self.server} refuses this caller ({status}); set MLFLOW_TRACKING_TOKEN, or "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            )
            return RemoteError(message, status=status)
        if response.is_redirect:
            message = f"The MLflow server {self.server} leads to another address ({status}); name that one instead."
            return RemoteError(message, status=status)
        told, error_code = _told(response)
        if status == 404:
            return NotFound("Resource", response.url.path, message=f"{self.server}: {told}")
        message = f"The MLflow server {self.server} answered {response.url.path} with {status}: {told}"
        if status in _BUSY:
            busy = _Busy(message, status=status)
            after = response.headers.get("Retry-After", "")
            busy.retry_after_seconds = float(after) if after.isdecimal() else None
            return busy
        return RemoteError(message, status=status, error_code=error_code)


def _login(username: str, password: str, config: MlflowConfig) -> tuple[str, str] | str | None:
    """Name and password, or a token; what the address has wins, then as in MLflow's client."""
    if username:
        return username, password
    if config.username and config.password:
        return config.username, config.password
    return config.token


def _verify(config: MlflowConfig) -> ssl.SSLContext | bool:
    if config.insecure_tls or config.ca_file is None:
        return not config.insecure_tls
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigInvalid("MLFLOW_TRACKING_SERVER_CERT_PATH names no file with certificates.") from None


def _told(response: httpx.Response) -> tuple[str, str | None]:
    try:
        body = response.json()
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}
    message = str(fields.get("message") or "it did not say why.")
    return " ".join(message.split())[:_MESSAGE_LENGTH_MAX], str(fields.get("error_code") or "") or None
