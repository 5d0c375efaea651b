"""Versions beside each other: can the callers of one call another?"""

from __future__ import annotations

from sqlalchemy import select

from servery.db.engine import reading
from servery.db.registry_tables import READY, VersionRow
from servery.errors import PackageInvalid, Unavailable
from servery.names import Digest, ModelName, Version
from servery.package.compatibility import check_compatible
from servery.package.mlmodel import MLmodel
from servery.registry.part import model_row
from servery.registry.queries import version_records
from servery.registry.records import ModelVersionRecord
from servery.registry.versions import Versions


class Comparisons(Versions):
    """Answers are of two packages, which never change."""

    def incompatibilities(self, old: Digest, new: Digest) -> tuple[str, ...]:
        """What callers of one package would find refused or missing at another: a sentence each, none if nothing.

        Nothing is known of the callers of a package that cannot be read any more, and nothing is refused for it.
        """
        return () if old == new else check_compatible(self._mlmodel_of(old), self._mlmodel_of(new)).problems

    def previous_version(self, name: ModelName, version: Version) -> ModelVersionRecord | None:
        """The newest earlier version that was not deleted. Raises NotFound for the model."""
        with reading(self._engine) as session:
            model = model_row(session, name)
            is_earlier = (VersionRow.number < version) & (VersionRow.status == READY)
            query = select(VersionRow).where(VersionRow.model_id == model.id, is_earlier)
            row = session.scalar(query.order_by(VersionRow.number.desc()).limit(1))
            return None if row is None else version_records(session, [row], {model.id: name})[0]

    def _mlmodel_of(self, digest: Digest) -> MLmodel | None:
        try:
            return self.mlmodel(self.manifest(digest))
        except (PackageInvalid, Unavailable):
            return None
