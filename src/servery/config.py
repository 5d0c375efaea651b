"""One frozen, typed object per process: file < environment < flags; an unknown key is an error.

The file is ``servery.toml`` in the home folder, with one table a process (``[control]``, ``[gateway]``,
``[serve]``). An environment variable is ``SERVERY_`` and the key in capitals. This module is the only one
that reads the environment.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from servery.errors import AddressRefused, ConfigInvalid, HomeUnusable

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class EnvManager(StrEnum):
    """In which Python environment a version's workers run."""

    AUTO = "auto"
    """In this interpreter's own where it satisfies the model's requirements, else in one that uv makes."""
    LOCAL = "local"
    """In this interpreter's own, whatever the model asks for."""
    UV = "uv"
    """In one that uv makes from the model's requirements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSources:
    """Where an installer gets Python packages on this machine. URLs may hold credentials: they are never shown."""

    index_url: str | None = None
    """Instead of the public index."""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    """Folders or pages with wheels."""
    no_index: bool = False
    """Only what ``find_links`` has."""
    offline: bool = False
    """Only what ``find_links`` and the installer's cache have."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """By ``http-proxy``, ``https-proxy`` and ``no-proxy``."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment variables that an installer gets, and whatever it builds: none of them is a credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """The control plane: ``servery control``."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 8400
    insecure_no_auth: bool = False
    artifact_bytes_max: int = 64 << 30
    """The largest single file that may be uploaded."""
    rollout_timeout_seconds: float = 1800.0
    """How long a new version may take to be fetched and ready on every gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """A gateway: ``servery gateway``."""

    home: Path
    host: str = "127.0.0.1"
    gateway_port: int = 8401
    grpc_port: int = 8402
    """Where the Open Inference Protocol is spoken over gRPC; 0: nowhere."""
    server: str = "http://127.0.0.1:8400"
    """The control plane that it follows."""
    insecure_no_auth: bool = False
    body_bytes_max: int = 64 << 20
    queue_requests_max: int = 4096
    """How many requests may wait for one version."""
    queue_bytes_max: int = 256 << 20
    """How many bytes of bodies may wait for one version."""
    request_timeout_seconds: float = 60.0
    """The deadline of a request that names none; MLflow's scoring server has the same."""
    stream_timeout_seconds: float = 600.0
    """How long an answer in pieces may take in all; its first piece must come within the request's deadline."""
    streams_max: int = 256
    """How many streams one worker may hold."""
    load_timeout_seconds: float = 120.0
    """How long a worker may take to import, load and answer its example."""
    drain_timeout_seconds: float = 30.0
    """How long accepted requests may take to be answered after SIGTERM."""
    env_manager: EnvManager = EnvManager.AUTO
    build_timeout_seconds: float = 1200.0
    """How long it may take to make a version's Python environment."""

    @property
    def worker_variables(self) -> Mapping[str, str]:
        """The process's environment variables, of which its workers get a few."""
        return dict(os.environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """One model behind one address: ``servery serve``. Limits as a gateway's."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 8401
    grpc_port: int = 0
    """As a gateway's; nowhere unless it is said."""
    workers: int = 1
    strict: bool = False
    """Refuse a request that would lose something in a coercion."""
    insecure_no_auth: bool = False
    body_bytes_max: int = 64 << 20
    queue_requests_max: int = 4096
    queue_bytes_max: int = 256 << 20
    request_timeout_seconds: float = 60.0
    stream_timeout_seconds: float = 600.0
    streams_max: int = 256
    load_timeout_seconds: float = 120.0
    drain_timeout_seconds: float = 30.0
    env_manager: EnvManager = EnvManager.AUTO
    build_timeout_seconds: float = 1200.0

    @property
    def worker_variables(self) -> Mapping[str, str]:
        return dict(os.environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Where the client side finds the server, and where it keeps what it downloads."""

    home: Path
    server: str = "http://127.0.0.1:8400"


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowConfig:
    """An MLflow server that models come from, as its own client is told of it. Secrets are in no ``repr``."""

    tracking_uri: str | None = field(default=None, repr=False)
    """Where runs, logged models and artifacts are; None unless it is an http(s) address."""
    registry_uri: str | None = field(default=None, repr=False)
    """Where registered models are; the tracking server unless said otherwise."""
    token: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    insecure_tls: bool = False
    ca_file: str | None = None


ConfigT = TypeVar("ConfigT", ControlConfig, GatewayConfig, ServeConfig, ClientConfig)
_SECTIONS: dict[type, str] = {
    ControlConfig: "control",
    GatewayConfig: "gateway",
    ServeConfig: "serve",
    ClientConfig: "client",
}
_PREFIX = "SERVERY_"
_BUILD_VARIABLES = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_CACHE_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "UV_HTTP_TIMEOUT"),
)
"""What an installer, and a package that it builds, may see of the process's environment."""
_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})


def load_config(cls: type[ConfigT], flags: Mapping[str, Any], *, environ: Mapping[str, str] | None = None) -> ConfigT:
    """Build a process's config; ``flags`` that are None were not given.

    Raises:
        ConfigInvalid: an unknown key, or a value of the wrong type; says where it stands.
    """
    import msgspec  # Here, since the commands know this module, and --help answers at once.

    merged = _merged(cls, flags, os.environ if environ is None else environ)
    try:
        return msgspec.convert(merged, cls, strict=False, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"A setting of 'servery {_SECTIONS[cls]}' is invalid: {error}.") from None


def names_server(flags: Mapping[str, Any], *, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a flag, the environment or the settings file names a Servery server for the client side.

    Raises ConfigInvalid as :func:`load_config`.
    """
    return "server" in _merged(ClientConfig, flags, os.environ if environ is None else environ)


def load_mlflow(*, environ: Mapping[str, str] | None = None) -> MlflowConfig:
    """What the variables of MLflow's client say. A tracking URI that is no http(s) address is no server."""
    environ = os.environ if environ is None else environ

    def text(name: str) -> str | None:
        return environ.get(name, "").strip() or None

    def server(name: str) -> str | None:
        uri = text(name)
        return uri if uri is not None and uri.startswith(("http://", "https://")) else None

    return MlflowConfig(
        tracking_uri=server("MLFLOW_TRACKING_URI"),
        registry_uri=server("MLFLOW_REGISTRY_URI"),
        token=text("MLFLOW_TRACKING_TOKEN"),
        username=text("MLFLOW_TRACKING_USERNAME"),
        password=text("MLFLOW_TRACKING_PASSWORD"),
        insecure_tls=(text("MLFLOW_TRACKING_INSECURE_TLS") or "").lower() in {"1", "true"},
        ca_file=text("MLFLOW_TRACKING_SERVER_CERT_PATH"),
    )


def object_store_settings(*, environ: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The variables that say how object stores are reached: ``AWS_…``, ``GOOGLE_…``, ``AZURE_…``. Holds secrets."""
    environ = os.environ if environ is None else environ
    found = {name: value for name, value in environ.items() if name.startswith(("AWS_", "GOOGLE_", "AZURE_")) and value}
    # What AWS's own tools and MLflow's client take besides.
    for twin in ("AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL"):
        if environ.get(twin):
            found.setdefault("AWS_ENDPOINT_URL", environ[twin])
    return found


def _merged(cls: type, flags: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Everything that was said about a process, the strongest word for each setting; ``home`` is always there."""
    known = {key for section in _SECTIONS for key in (field.name for field in fields(section))}
    given = {name: name.removeprefix(_PREFIX).lower() for name in environ if name.startswith(_PREFIX)}
    for name, key in given.items():
        if key not in known:
            raise ConfigInvalid(f"The environment variable {name} is no setting of Servery.")
    own = {field.name for field in fields(cls)}
    from_environment = {key: environ[name] for name, key in given.items() if key in own}
    from_flags = {key: value for key, value in flags.items() if value is not None}
    home = Path(from_flags.get("home") or from_environment.get("home") or Path.home() / ".servery").expanduser()
    return {**_read_file(home / "servery.toml", cls), **from_environment, **from_flags, "home": home}


def package_sources(environ: Mapping[str, str] | None = None) -> PackageSources:
    """Where this machine's variables for uv and pip (uv's count more) and for proxies say that packages come from."""
    environ = os.environ if environ is None else environ

    def first(*names: str) -> str:
        return next((environ[name] for name in names if environ.get(name)), "")

    def is_set(*names: str) -> bool:
        return first(*names).lower() in _TRUE

    extra = first("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL").split()
    proxies = {f"{kind}-proxy": first(f"{kind.upper()}_PROXY", f"{kind}_proxy") for kind in ("http", "https")}
    proxies["no-proxy"] = first("NO_PROXY", "no_proxy")
    for kind in ("http-proxy", "https-proxy"):
        proxies[kind] = proxies[kind] or first("ALL_PROXY", "all_proxy")
    return PackageSources(
        index_url=_bare_url(first("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")) or None,
        extra_index_urls=tuple(map(_bare_url, extra)),
        find_links=tuple(re.split(r"[\s,]+", text))
        if (text := first("UV_FIND_LINKS", "PIP_FIND_LINKS").strip())
        else (),
        no_index=is_set("UV_NO_INDEX", "PIP_NO_INDEX"),
        offline=is_set("UV_OFFLINE"),
        proxies={kind: url for kind, url in proxies.items() if url},
        variables={name: environ[name] for name in _BUILD_VARIABLES if environ.get(name)},
    )


def set_up_grpc() -> None:
    """What gRPC's library reads in the environment as it is imported: the processes that this one starts are other
    programs at once, so there is nothing that it must do before a fork, or say about it."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def _bare_url(text: str) -> str:
    """An index without the name that uv lets stand before it: ``name=https://…``."""
    return re.sub(r"^[A-Za-z0-9._-]+=(?=[a-z]+:)", "", text)


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"no setting has the type {kind}")


def _read_file(path: Path, cls: type) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ConfigInvalid(f"The settings file {path} cannot be read: {error}.") from None
    for section, table in document.items():
        owner = next((kind for kind, name in _SECTIONS.items() if name == section), None)
        if owner is None or not isinstance(table, dict):
            raise ConfigInvalid(f"The settings file {path} has the unknown entry '{section}'.")
        unknown = sorted(set(table) - {field.name for field in fields(owner)} | ({"home"} & set(table)))
        if unknown:
            raise ConfigInvalid(f"The settings file {path} has the unknown key '{section}.{unknown[0]}'.")
    table = document.get(_SECTIONS[cls], {})
    return dict(table)


def prepare_home(home: Path) -> Path:
    """Create the home folder, private to its owner, and prove that it can be written.

    Raises:
        HomeUnusable: it cannot.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise HomeUnusable(
            f"The home folder {home} cannot be written ({reason}); choose another with --home."
        ) from None
    return home


def refuse_open_address(host: str, *, insecure_no_auth: bool) -> None:
    """Off the loopback address nothing is bound without rights (rule 6).

    Raises:
        AddressRefused: ``host`` is no loopback address and nobody insisted.
    """
    if host not in LOOPBACK and not insecure_no_auth:
        raise AddressRefused(
            f"Refusing to listen on {host}: anybody who reaches it could deploy and query models. "
            "Listen on 127.0.0.1, or insist with --insecure-no-auth."
        )


def url_of(host: str, port: int) -> str:
    """How to reach what listens on ``host``: any address becomes this machine."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)  # noqa: S104 - only compared
    return f"http://{reachable}:{port}"
