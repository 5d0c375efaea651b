"""Endpoints and the routing table in SQL. Everything here blocks: call it from a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from servery.db.deployment_tables import EndpointConfigRow, EndpointRow, GatewayRow, RoutingTableRow
from servery.db.engine import reading, writing
from servery.deployments.config import Entity, Target
from servery.deployments.state import Endpoint, Failure, Phase
from servery.names import EndpointName
from servery.routing import RoutingTable, decode_table, encode

CONFIGS_KEPT = 20
"""How many configs of an endpoint are kept to go back to."""

T = TypeVar("T")


class TableTaken(Exception):
    """Another process has published a table from the same database; two must never decide at once."""


@dataclass(frozen=True, slots=True)
class Stored:
    """All that a control plane goes on from when it starts."""

    endpoints: Mapping[EndpointName, Endpoint]
    table: RoutingTable
    gateways: Mapping[str, str]
    """The address of each gateway that was live when this was last written."""


class EndpointStore:
    """Reads and writes whole records; any thread may call. Raises Unavailable while the database cannot be used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self) -> Stored:
        with reading(self._engine) as session:
            rows = session.scalars(select(EndpointRow)).all()
            table = session.get(RoutingTableRow, 1)
            gateways = session.scalars(select(GatewayRow)).all()
            return Stored(
                endpoints={EndpointName(row.name): _from_row(row) for row in rows},
                table=RoutingTable() if table is None else decode_table(table.body.encode()),
                gateways={row.name: row.address for row in gateways},
            )

    def save(
        self, changed: Iterable[Endpoint], removed: Iterable[EndpointName], *, before: RoutingTable, after: RoutingTable
    ) -> None:
        """Write records and the table that shows them, all or nothing.

        Raises:
            TableTaken: the newest table is not ``before``; nothing was written.
        """
        with writing(self._engine) as session:
            newest = session.get(RoutingTableRow, 1)
            if (0 if newest is None else newest.number) != before.number:
                raise TableTaken(f"Another process has published a routing table after number {before.number}.")
            if after.number != before.number:
                session.merge(RoutingTableRow(id=1, number=after.number, body=encode(after).decode()))
            for endpoint in changed:
                session.merge(_to_row(endpoint))
                _keep_config(session, endpoint)
            for name in removed:
                session.execute(delete(EndpointRow).where(EndpointRow.name == name))

    def save_gateways(self, addresses: Mapping[str, str]) -> None:
        with writing(self._engine) as session:
            session.execute(delete(GatewayRow))
            session.add_all(GatewayRow(name=name, address=address) for name, address in addresses.items())

    def configs(self, name: EndpointName) -> list[Target]:
        """The configs that served, the newest first."""
        query = select(EndpointConfigRow.config).where(EndpointConfigRow.endpoint == name)
        with reading(self._engine) as session:
            texts = session.scalars(query.order_by(EndpointConfigRow.config_version.desc())).all()
            return [_decode(text, Target) for text in texts]


def _keep_config(session: Session, endpoint: Endpoint) -> None:
    if endpoint.active is None:
        return
    session.flush()
    version, config = endpoint.config_version, _encode(endpoint.active)
    session.merge(EndpointConfigRow(endpoint=endpoint.name, config_version=version, config=config))
    session.execute(
        delete(EndpointConfigRow).where(
            EndpointConfigRow.endpoint == endpoint.name, EndpointConfigRow.config_version <= version - CONFIGS_KEPT
        )
    )


def _to_row(endpoint: Endpoint) -> EndpointRow:
    return EndpointRow(
        name=endpoint.name,
        id=endpoint.id,
        description=endpoint.description,
        tags=_encode(endpoint.tags),
        created_at_ms=endpoint.created_at_ms,
        updated_at_ms=endpoint.updated_at_ms,
        revision=endpoint.revision,
        entities=_encode(endpoint.entities),
        active=None if endpoint.active is None else _encode(endpoint.active),
        config_version=endpoint.config_version,
        phase=endpoint.phase.value,
        target=None if endpoint.target is None else _encode(endpoint.target),
        failure=None if endpoint.failure is None else _encode(endpoint.failure),
        number=endpoint.number,
        started_at_ms=endpoint.started_at_ms,
        strict=endpoint.strict,
    )


def _from_row(row: EndpointRow) -> Endpoint:
    return Endpoint(
        name=EndpointName(row.name),
        id=row.id,
        description=row.description,
        tags=_decode(row.tags, dict[str, str]),
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        revision=row.revision,
        entities=_decode(row.entities, tuple[Entity, ...]),
        active=None if row.active is None else _decode(row.active, Target),
        config_version=row.config_version,
        phase=Phase(row.phase),
        target=None if row.target is None else _decode(row.target, Target),
        failure=None if row.failure is None else _decode(row.failure, Failure),
        number=row.number,
        started_at_ms=row.started_at_ms,
        strict=row.strict,
    )


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _decode(text: str, kind: type[T]) -> T:
    return msgspec.json.decode(text, type=kind)
