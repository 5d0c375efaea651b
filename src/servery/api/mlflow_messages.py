"""Our records as MLflow's messages: ``RegisteredModel`` and ``ModelVersion``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servery.registry.records import ModelRecord, ModelVersionRecord


def model_message(record: ModelRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "creation_timestamp": record.created_at_ms,
        "last_updated_timestamp": record.updated_at_ms,
        "description": record.description,
        "latest_versions": [] if record.latest is None else [version_message(record.latest)],
        "tags": _tags(record.tags),
        "aliases": [{"alias": alias, "version": str(version)} for alias, version in record.aliases.items()],
    }


def version_message(record: ModelVersionRecord) -> dict[str, Any]:
    """Every version is in the stage None and READY: it is published whole or not at all."""
    return {
        "name": record.name,
        "version": str(record.version),
        "creation_timestamp": record.created_at_ms,
        "last_updated_timestamp": record.updated_at_ms,
        "current_stage": "None",
        "description": record.description,
        "source": record.source,
        "run_id": record.run_id,
        "run_link": record.run_link,
        "status": record.status,
        "status_message": "",
        "tags": _tags(record.tags),
        "aliases": list(record.aliases),
    }


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
