"""Registered models and their aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select

from servery.db.engine import reading, writing
from servery.db.registry_tables import AliasRow, ModelRow, ModelTagRow, VersionRow
from servery.errors import InvalidInput
from servery.names import Alias, ModelName, Version
from servery.registry.part import RegistryPart, model_row, version_row
from servery.registry.queries import (
    MODEL_FILTERS,
    MODEL_ORDERS,
    conditions,
    cut_page,
    model_records,
    order_columns,
    page_bounds,
    version_records,
)
from servery.registry.records import (
    ModelRecord,
    ModelVersionRecord,
    Page,
    alias_not_found,
    check_tags,
    check_text,
    model_exists,
)
from servery.registry.search import parse_filter, parse_order_by

SEARCH_MODELS_MAX = 1_000


class Models(RegistryPart):
    """All methods raise NotFound for a model that does not exist, and Unavailable when the database is."""

    def create_model(
        self,
        name: ModelName,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        created_at_ms: int | None = None,
    ) -> ModelRecord:
        """``created_at_ms`` is for a model that another server has had since then; a time to come is taken for now.

        Raises AlreadyExists, and InvalidInput for a tag or description beyond the limits, or a time that is none.
        """
        check_text("description", description)
        tags = check_tags(tags or {})
        now_ms = self._clock.now_ms()
        created_at_ms = now_ms if created_at_ms is None else min(created_at_ms, now_ms)
        if created_at_ms < 0:
            raise InvalidInput("created_at_ms", expected="milliseconds since 1970", got=created_at_ms)
        with writing(self._engine) as session:
            if session.scalar(select(ModelRow.id).where(ModelRow.name == name)) is not None:
                raise model_exists(name)
            row = ModelRow(
                name=name, description=description, next_version=1, created_at_ms=created_at_ms, updated_at_ms=now_ms
            )
            session.add(row)
            session.flush()
            session.add_all(ModelTagRow(model_id=row.id, key=key, value=value) for key, value in tags.items())
            session.flush()
            return model_records(session, [row])[0]

    def get_model(self, name: ModelName) -> ModelRecord:
        with reading(self._engine) as session:
            return model_records(session, [model_row(session, name)])[0]

    def search_models(
        self,
        filter_text: str | None = None,
        *,
        order_by: Sequence[str] = (),
        max_results: int = 100,
        page_token: str | None = None,
    ) -> Page[ModelRecord]:
        """By ``order_by``, then by name. Raises InvalidInput for what ``search`` does not understand."""
        clauses = parse_filter(filter_text, fields=frozenset(MODEL_FILTERS))
        orders = parse_order_by(order_by, fields=frozenset(MODEL_ORDERS))
        offset, length = page_bounds(max_results, page_token, limit=SEARCH_MODELS_MAX)
        where = conditions(clauses, MODEL_FILTERS, ModelTagRow, ModelTagRow.model_id == ModelRow.id)
        query = select(ModelRow).where(*where).order_by(*order_columns(orders, MODEL_ORDERS), ModelRow.name)
        with reading(self._engine) as session:
            rows = session.scalars(query.offset(offset).limit(length + 1)).all()
            page, token = cut_page(rows, offset, length)
            return Page(model_records(session, page), token)

    def update_model(self, name: ModelName, *, description: str) -> ModelRecord:
        check_text("description", description)
        with writing(self._engine) as session:
            row = model_row(session, name)
            row.description = description
            row.updated_at_ms = self._clock.now_ms()
            session.flush()
            return model_records(session, [row])[0]

    def rename_model(self, name: ModelName, *, new_name: ModelName) -> ModelRecord:
        """Its versions, aliases and tags stay with it. Raises AlreadyExists."""
        with writing(self._engine) as session:
            row = model_row(session, name)
            if session.scalar(select(ModelRow.id).where(ModelRow.name == new_name)) is not None:
                raise model_exists(new_name)
            row.name = new_name
            row.updated_at_ms = self._clock.now_ms()
            session.flush()
            return model_records(session, [row])[0]

    def delete_model(self, name: ModelName) -> None:
        """With its versions, aliases and tags. The packages stay: other versions may have the same."""
        with writing(self._engine) as session:
            # By a statement, so that the database's own cascades do it.
            session.execute(delete(ModelRow).where(ModelRow.id == model_row(session, name).id))

    def set_model_tag(self, name: ModelName, *, key: str, value: str) -> None:
        check_tags({key: value})
        with writing(self._engine) as session:
            session.merge(ModelTagRow(model_id=model_row(session, name).id, key=key, value=value))

    def delete_model_tag(self, name: ModelName, *, key: str) -> None:
        """Does nothing when the model has no such tag."""
        with writing(self._engine) as session:
            model_id = model_row(session, name).id
            session.execute(delete(ModelTagRow).where(ModelTagRow.model_id == model_id, ModelTagRow.key == key))

    def set_alias(self, name: ModelName, alias: Alias, version: Version) -> None:
        """Let ``alias`` name ``version``, whatever it named before. Raises NotFound for the version too."""
        with writing(self._engine) as session:
            row = version_row(session, name, version)
            session.merge(AliasRow(model_id=row.model_id, alias=alias, number=row.number, status=row.status))

    def delete_alias(self, name: ModelName, alias: Alias) -> None:
        """Does nothing when the model has no such alias."""
        with writing(self._engine) as session:
            model_id = model_row(session, name).id
            session.execute(delete(AliasRow).where(AliasRow.model_id == model_id, AliasRow.alias == alias))

    def resolve_alias(self, name: ModelName, alias: Alias) -> ModelVersionRecord:
        """The version that the alias names now. Raises NotFound for the alias too."""
        with reading(self._engine) as session:
            model = model_row(session, name)
            is_it = (AliasRow.model_id == model.id) & (AliasRow.alias == alias)
            has_it = (VersionRow.model_id == AliasRow.model_id) & (VersionRow.number == AliasRow.number)
            row = session.scalar(select(VersionRow).join(AliasRow, has_it).where(is_it))
            if row is None:
                raise alias_not_found(name, alias)
            return version_records(session, [row], {model.id: model.name})[0]
