"""From rows to records, and from a parsed search to SQL.

A page of records takes a fixed number of queries, not some for each record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from servery.db.registry_tables import (
    READY,
    AliasRow,
    ModelRow,
    ModelTagRow,
    VersionRow,
    VersionTagRow,
)
from servery.errors import InvalidInput
from servery.names import Alias, Digest, ModelName, Version
from servery.registry.records import ModelRecord, ModelVersionRecord
from servery.registry.search import Clause, Comparator, Order, decode_page_token, encode_page_token

Columns = Mapping[str, InstrumentedAttribute[Any]]
MODEL_FILTERS: Columns = {"name": ModelRow.name}
MODEL_ORDERS: Columns = {
    "name": ModelRow.name,
    "creation_timestamp": ModelRow.created_at_ms,
    "last_updated_timestamp": ModelRow.updated_at_ms,
}
VERSION_FILTERS: Columns = {"name": ModelRow.name, "run_id": VersionRow.run_id, "source_path": VersionRow.source}
VERSION_ORDERS: Columns = {
    "name": ModelRow.name,
    "version_number": VersionRow.number,
    "creation_timestamp": VersionRow.created_at_ms,
    "last_updated_timestamp": VersionRow.updated_at_ms,
}
PROMPT_TAG = "mlflow.prompt.is_prompt"
TagRow = type[ModelTagRow] | type[VersionTagRow]
ItemT = TypeVar("ItemT")


def version_records(
    session: Session, rows: Sequence[VersionRow], names: Mapping[int, str]
) -> tuple[ModelVersionRecord, ...]:
    """``names`` gives the name of each model by its id."""
    keys = [(row.model_id, row.number) for row in rows]
    tags: dict[tuple[int, int], dict[str, str]] = defaultdict(dict)
    aliases: dict[tuple[int, int], list[Alias]] = defaultdict(list)
    for some in _some(keys):
        is_theirs = tuple_(VersionTagRow.model_id, VersionTagRow.number).in_(some)
        for tag in session.scalars(select(VersionTagRow).where(is_theirs).order_by(VersionTagRow.key)):
            tags[tag.model_id, tag.number][tag.key] = tag.value
        names_one = tuple_(AliasRow.model_id, AliasRow.number).in_(some)
        for alias in session.scalars(select(AliasRow).where(names_one).order_by(AliasRow.alias)):
            aliases[alias.model_id, alias.number].append(Alias(alias.alias))
    return tuple(
        ModelVersionRecord(
            name=ModelName(names[row.model_id]),
            version=Version(row.number),
            digest=Digest(row.digest or ""),
            source=row.source,
            description=row.description,
            run_id=row.run_id,
            run_link=row.run_link,
            status=row.status,
            tags=tags[row.model_id, row.number],
            aliases=tuple(aliases[row.model_id, row.number]),
            created_at_ms=row.created_at_ms,
            updated_at_ms=row.updated_at_ms,
        )
        for row in rows
    )


def model_records(session: Session, rows: Sequence[ModelRow]) -> tuple[ModelRecord, ...]:
    tags: dict[int, dict[str, str]] = defaultdict(dict)
    aliases: dict[int, dict[Alias, Version]] = defaultdict(dict)
    latest: dict[int, ModelVersionRecord] = {}
    for some in _some([row.id for row in rows]):
        query = select(ModelTagRow).where(ModelTagRow.model_id.in_(some)).order_by(ModelTagRow.key)
        for tag in session.scalars(query):
            tags[tag.model_id][tag.key] = tag.value
        for alias in session.scalars(select(AliasRow).where(AliasRow.model_id.in_(some)).order_by(AliasRow.alias)):
            aliases[alias.model_id][Alias(alias.alias)] = Version(alias.number)
        latest |= _latest_versions(session, some, {row.id: row.name for row in rows})
    return tuple(
        ModelRecord(
            name=ModelName(row.name),
            description=row.description,
            tags=tags[row.id],
            aliases=aliases[row.id],
            latest=latest.get(row.id),
            created_at_ms=row.created_at_ms,
            updated_at_ms=row.updated_at_ms,
        )
        for row in rows
    )


def conditions(
    clauses: Sequence[Clause], columns: Columns, tags: TagRow, joined: ColumnElement[bool]
) -> list[ColumnElement[bool]]:
    """What the clauses ask of a row; ``joined`` ties a row of ``tags`` to it.

    As in MLflow, a row without the tag is not found, by ``!=`` neither; and prompts, which it keeps as models
    with a tag, are found only by who asks for them. Its client adds the opposite clause to each search.
    """
    has_tag = {
        clause: and_(joined, tags.key == clause.field, _compare(tags.value, clause))
        for clause in clauses
        if clause.is_tag and not (clause.field == PROMPT_TAG and clause.comparator is Comparator.NOT_EQUAL)
    }
    found: list[ColumnElement[bool]] = [select(tags.key).where(condition).exists() for condition in has_tag.values()]
    if not any(clause.field == PROMPT_TAG for clause in has_tag):
        is_prompt = and_(joined, tags.key == PROMPT_TAG, tags.value == "true")
        found.append(~select(tags.key).where(is_prompt).exists())
    return [*found, *(_compare(columns[clause.field], clause) for clause in clauses if not clause.is_tag)]


def order_columns(orders: Iterable[Order], columns: Columns) -> list[ColumnElement[Any]]:
    return [columns[order.field].desc() if order.descending else columns[order.field].asc() for order in orders]


def page_bounds(max_results: int, page_token: str | None, *, limit: int) -> tuple[int, int]:
    """The offset and length of a page. Raises InvalidInput for a length out of bounds or a foreign token."""
    if not 1 <= max_results <= limit:
        raise InvalidInput("max_results", expected=f"a number from 1 to {limit}", got=max_results)
    return decode_page_token(page_token), max_results


def cut_page(rows: Sequence[ItemT], offset: int, length: int) -> tuple[Sequence[ItemT], str | None]:
    """The page of ``rows``, which are one more than asked for when another page follows."""
    return rows[:length], encode_page_token(offset + length) if len(rows) > length else None


def _latest_versions(
    session: Session, model_ids: Sequence[int], names: Mapping[int, str]
) -> dict[int, ModelVersionRecord]:
    newest = (
        select(VersionRow.model_id, func.max(VersionRow.number).label("number"))
        .where(VersionRow.model_id.in_(model_ids), VersionRow.status == READY)
        .group_by(VersionRow.model_id)
        .subquery()
    )
    is_newest = and_(VersionRow.model_id == newest.c.model_id, VersionRow.number == newest.c.number)
    rows = session.scalars(select(VersionRow).join(newest, is_newest)).all()
    return dict(zip((row.model_id for row in rows), version_records(session, rows, names), strict=True))


def _compare(column: InstrumentedAttribute[str], clause: Clause) -> ColumnElement[bool]:
    match clause.comparator:
        case Comparator.EQUAL:
            return column == clause.value
        case Comparator.NOT_EQUAL:
            return column != clause.value
        case Comparator.ILIKE:
            return column.ilike(clause.value)
        case Comparator.LIKE:
            # SQLite's LIKE does not mind the case; its GLOB does, and has other wildcards.
            escaped = "".join(f"[{character}]" if character in "*?[" else character for character in clause.value)
            return column.op("GLOB", is_comparison=True)(escaped.replace("%", "*").replace("_", "?"))


def _some(items: Sequence[ItemT]) -> Iterable[Sequence[ItemT]]:
    """At most 1,000 at a time: a statement has a limited number of parameters."""
    return (items[start : start + 1000] for start in range(0, len(items), 1000))
