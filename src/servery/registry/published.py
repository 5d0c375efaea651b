"""Published versions, as readers see them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from servery.db.engine import reading
from servery.db.registry_tables import READY, ModelRow, VersionLineageRow, VersionRow, VersionTagRow
from servery.errors import PackageInvalid
from servery.names import Alias, ModelName, Version
from servery.package.manifest import Manifest
from servery.package.mlmodel import MLMODEL_FILE, MLmodel, parse_mlmodel
from servery.package.plain_yaml import MLMODEL_BYTES_MAX
from servery.registry.artifact_files import ArtifactFiles
from servery.registry.models import Models
from servery.registry.part import version_row
from servery.registry.queries import (
    VERSION_FILTERS,
    VERSION_ORDERS,
    conditions,
    cut_page,
    order_columns,
    page_bounds,
    version_records,
)
from servery.registry.records import ModelVersionRecord, Page
from servery.registry.search import parse_filter, parse_order_by

SEARCH_VERSIONS_MAX = 10_000
"""What MLflow's own client asks for."""


class PublishedVersions(ArtifactFiles, Models):
    """All methods raise NotFound for a model or version that does not exist or was deleted."""

    def get_version(self, name: ModelName, version: Version) -> ModelVersionRecord:
        with reading(self._engine) as session:
            row = version_row(session, name, version)
            return version_records(session, [row], {row.model_id: name})[0]

    def resolve(self, name: ModelName, which: Version | Alias) -> ModelVersionRecord:
        """The version with this number, or the one that this alias names now."""
        return self.get_version(name, which) if isinstance(which, int) else self.resolve_alias(name, which)

    def search_versions(
        self,
        filter_text: str | None = None,
        *,
        order_by: Sequence[str] = (),
        max_results: int = SEARCH_VERSIONS_MAX,
        page_token: str | None = None,
    ) -> Page[ModelVersionRecord]:
        """By ``order_by``, then the newest change first. Raises InvalidInput for what ``search`` does not read."""
        clauses = parse_filter(filter_text, fields=frozenset(VERSION_FILTERS))
        orders = parse_order_by(order_by, fields=frozenset(VERSION_ORDERS))
        offset, length = page_bounds(max_results, page_token, limit=SEARCH_VERSIONS_MAX)
        is_theirs = (VersionTagRow.model_id == VersionRow.model_id) & (VersionTagRow.number == VersionRow.number)
        where = conditions(clauses, VERSION_FILTERS, VersionTagRow, is_theirs)
        query = (
            select(VersionRow, ModelRow.name)
            .join(ModelRow, ModelRow.id == VersionRow.model_id)
            .where(VersionRow.status == READY, *where)
            .order_by(*order_columns(orders, VERSION_ORDERS))
            .order_by(VersionRow.updated_at_ms.desc(), ModelRow.name, VersionRow.number.desc())
        )
        with reading(self._engine) as session:
            found = session.execute(query.offset(offset).limit(length + 1)).all()
            page, token = cut_page(found, offset, length)
            names = {row.model_id: name for row, name in page}
            return Page(version_records(session, [row for row, _ in page], names), token)

    def lineage(self, name: ModelName, version: Version) -> dict[str, Any] | None:
        """Where an imported version came from, as it was given; None for any other."""
        with reading(self._engine) as session:
            row = version_row(session, name, version)
            body = session.scalar(
                select(VersionLineageRow.body).where(
                    VersionLineageRow.model_id == row.model_id, VersionLineageRow.number == row.number
                )
            )
        found: dict[str, Any] | None = None if body is None else json.loads(body)
        return found

    def mlmodel(self, manifest: Manifest) -> MLmodel:
        """The MLmodel file of a package. Raises PackageInvalid when it has none that can be read."""
        entry = next((file for file in manifest.files if file.path == MLMODEL_FILE), None)
        if entry is None:
            raise PackageInvalid(f"There is no {MLMODEL_FILE} file at the source, so it is no model package.")
        with self.open_blob(entry.sha256).file as file:
            return parse_mlmodel(file.read(MLMODEL_BYTES_MAX + 1))
