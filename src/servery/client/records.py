"""What the client gives back: frozen records, read from the server's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a registered model. Times are milliseconds since the Unix epoch."""

    name: str
    version: int
    digest: str | None = None
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    run_id: str = ""
    status: str = "READY"
    created_at_ms: int | None = None
    size_bytes: int | None = None
    signature: Any = None
    previous_version: int | None = None
    """The newest earlier version that was there when the server was asked."""
    incompatibilities: tuple[str, ...] = ()
    """What callers of that one would find refused or missing: one sentence each."""
    check: Any = None
    """The report of the last 'servery check'; None when there was none."""
    lineage: Mapping[str, Any] | None = None
    """Where an imported version came from, see ``lineage``; None for any other."""

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class BuildLog:
    """In which Python environment a gateway runs a version, and how that was made."""

    gateway: str
    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model; ``aliases`` leads from each alias to its version."""

    name: str
    description: str = ""
    latest_version: int | None = None
    aliases: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at_ms: int | None = None
    updated_at_ms: int | None = None


class Update(StrEnum):
    """How far an endpoint's newest config has come."""

    DONE = "NOT_UPDATING"
    RUNNING = "IN_PROGRESS"
    FAILED = "UPDATE_FAILED"
    CANCELED = "UPDATE_CANCELED"


@dataclass(frozen=True, slots=True)
class ServedEntity:
    """One model behind an endpoint, ``percent`` its share of the requests.

    ``alias`` is the alias that it follows; ``version`` is None while that leads nowhere.
    """

    name: str
    model: str
    version: int | None
    alias: str | None
    percent: int
    replicas: int
    state: str = ""
    message: str = ""

    @property
    def uri(self) -> str:
        return f"models:/{self.model}@{self.alias}" if self.version is None else f"models:/{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: what it serves now, in ``pending`` what it moves to, in ``failure`` why its last move failed.

    One that is ``strict`` refuses requests that would lose something in a coercion.
    """

    name: str
    ready: bool
    update: Update
    url: str | None = None
    config_version: int = 0
    strict: bool = False
    entities: tuple[ServedEntity, ...] = ()
    pending: tuple[ServedEntity, ...] = ()
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """An endpoint's answer: ``predictions`` as the model gave them, and what the gateway said about it."""

    predictions: Any
    model_version: str | None = None
    request_id: str | None = None
    latency_ms: float = 0.0
    coerced: tuple[str, ...] = ()
    """Columns and params of which a value was changed to fit its type."""
    attempts: int = 1
    """How often the request was sent."""


def read_version(fields: JsonObject) -> ModelVersion:
    """From the MLflow form (version as text, tags as pairs) or from Servery's own."""
    files = fields.get("files")
    return ModelVersion(
        name=fields["name"],
        version=int(fields["version"]),
        digest=fields.get("digest"),
        aliases=tuple(fields.get("aliases") or ()),
        tags=_read_tags(fields.get("tags")),
        description=fields.get("description") or "",
        run_id=fields.get("run_id") or "",
        status=fields.get("status") or "READY",
        created_at_ms=_optional_int(fields.get("created_at_ms", fields.get("creation_timestamp"))),
        size_bytes=None if files is None else sum(int(file["size_bytes"]) for file in files),
        signature=fields.get("signature"),
        previous_version=_optional_int(fields.get("previous_version")),
        incompatibilities=tuple(fields.get("incompatibilities") or ()),
        check=fields.get("check"),
        lineage=fields.get("lineage"),
    )


def read_model(fields: JsonObject) -> RegisteredModel:
    latest = [int(version["version"]) for version in fields.get("latest_versions") or ()]
    return RegisteredModel(
        name=fields["name"],
        description=fields.get("description") or "",
        latest_version=max(latest, default=None),
        aliases={item["alias"]: int(item["version"]) for item in fields.get("aliases") or ()},
        tags=_read_tags(fields.get("tags")),
        created_at_ms=_optional_int(fields.get("creation_timestamp")),
        updated_at_ms=_optional_int(fields.get("last_updated_timestamp")),
    )


def read_endpoint(fields: JsonObject) -> Endpoint:
    state = fields.get("state") or {}
    config = fields.get("config") or {}
    return Endpoint(
        name=fields["name"],
        ready=state.get("ready") == "READY",
        update=Update(state.get("config_update") or Update.DONE),
        url=fields.get("endpoint_url"),
        config_version=int(config.get("config_version") or 0),
        strict=bool(config.get("strict")),
        entities=_read_entities(config),
        pending=_read_entities(fields.get("pending_config") or {}),
        failure=fields.get("failure"),
    )


def _read_entities(config: JsonObject) -> tuple[ServedEntity, ...]:
    routes = (config.get("traffic_config") or {}).get("routes") or ()
    percents = {
        route.get("served_entity_name") or route.get("served_model_name"): int(route["traffic_percentage"])
        for route in routes
    }
    entities = config.get("served_entities") or ()
    alone = 100 if len(entities) == 1 else 0
    return tuple(_read_entity(entity, percents.get(entity.get("name"), alone)) for entity in entities)


def _read_entity(fields: JsonObject, percent: int) -> ServedEntity:
    state = fields.get("state") or {}
    version = str(fields.get("entity_version") or "")
    return ServedEntity(
        name=fields.get("name") or "",
        model=fields.get("entity_name") or "",
        version=int(version) if version.isdecimal() else None,
        alias=fields.get("entity_alias"),
        percent=percent,
        replicas=int(fields.get("min_provisioned_concurrency") or 1),
        state=state.get("deployment") or "",
        message=state.get("deployment_state_message") or "",
    )


def _read_tags(tags: JsonObject | Iterable[JsonObject] | None) -> dict[str, str]:
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {tag["key"]: tag.get("value", "") for tag in tags or ()}


def _optional_int(value: Any) -> int | None:
    return None if value is None else int(value)
