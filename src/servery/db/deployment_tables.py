"""The tables of endpoints and of what is published of them.

    endpoints          what was asked for, what serves, and where the rollout stands
    endpoint_configs   the configs that served, to go back to
    routing_table      the newest table: one row
    gateways           the live ones, so that a restarted control plane waits for them to report

Configs are JSON texts: they are read and written whole, and nothing asks SQL what is in them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from servery.db.base import Base


class EndpointRow(Base):
    __tablename__ = "endpoints"
    __table_args__ = (
        UniqueConstraint("id"),
        CheckConstraint("phase IN ('idle', 'loading', 'switching', 'failed')", name="phase_is_known"),
        CheckConstraint("phase NOT IN ('loading', 'switching') OR target IS NOT NULL", name="rollout_has_a_target"),
        CheckConstraint("(phase = 'failed') = (failure IS NOT NULL)", name="failed_has_a_cause"),
        CheckConstraint("(config_version = 0) = (active IS NULL)", name="active_has_a_config_version"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str]
    description: Mapped[str]
    tags: Mapped[str]
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    updated_at_ms: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int]
    entities: Mapped[str]
    active: Mapped[str | None]
    config_version: Mapped[int]
    phase: Mapped[str]
    target: Mapped[str | None]
    failure: Mapped[str | None]
    number: Mapped[int] = mapped_column(BigInteger)
    started_at_ms: Mapped[int] = mapped_column(BigInteger)
    strict: Mapped[bool] = mapped_column(server_default=false())


class EndpointConfigRow(Base):
    __tablename__ = "endpoint_configs"

    endpoint: Mapped[str] = mapped_column(ForeignKey("endpoints.name", ondelete="CASCADE"), primary_key=True)
    config_version: Mapped[int] = mapped_column(primary_key=True)
    config: Mapped[str]


class RoutingTableRow(Base):
    """Its number only grows; the row is never deleted."""

    __tablename__ = "routing_table"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[str]


class GatewayRow(Base):
    __tablename__ = "gateways"

    name: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str]
