"""What the parts of the registry share."""

from __future__ import annotations

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from servery.clock import Clock
from servery.db.registry_tables import READY, ModelRow, VersionRow
from servery.names import ModelName, Version
from servery.registry.artifacts.store import ArtifactStore
from servery.registry.records import model_not_found, version_not_found


class RegistryPart:
    """Each method is one transaction: when it returns the change is on disk, when it raises there is none."""

    def __init__(self, engine: Engine, artifacts: ArtifactStore, clock: Clock) -> None:
        self._engine = engine
        self._artifacts = artifacts
        self._clock = clock


def model_row(session: Session, name: ModelName) -> ModelRow:
    row = session.scalar(select(ModelRow).where(ModelRow.name == name))
    if row is None:
        raise model_not_found(name)
    return row


def version_row(session: Session, name: ModelName, version: Version) -> VersionRow:
    """The row of a version that was not deleted."""
    model = model_row(session, name)
    row = session.get(VersionRow, (model.id, version))
    if row is None or row.status != READY:
        raise version_not_found(name, version)
    return row
