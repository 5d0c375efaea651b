"""Endpoints, the configs that served, the routing table and the live gateways."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "endpoints",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("tags", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("entities", sa.String(), nullable=False),
        sa.Column("active", sa.String(), nullable=True),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_endpoints"),
        sa.UniqueConstraint("id", name="uq_endpoints_id"),
        sa.CheckConstraint(
            "phase IN ('idle', 'loading', 'switching', 'failed')", name=op.f("ck_endpoints_phase_is_known")
        ),
        sa.CheckConstraint(
            "phase NOT IN ('loading', 'switching') OR target IS NOT NULL",
            name=op.f("ck_endpoints_rollout_has_a_target"),
        ),
        sa.CheckConstraint("(phase = 'failed') = (failure IS NOT NULL)", name=op.f("ck_endpoints_failed_has_a_cause")),
        sa.CheckConstraint(
            "(config_version = 0) = (active IS NULL)", name=op.f("ck_endpoints_active_has_a_config_version")
        ),
    )
    op.create_table(
        "endpoint_configs",
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("config", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "config_version", name="pk_endpoint_configs"),
        sa.ForeignKeyConstraint(
            ["endpoint"], ["endpoints.name"], name="fk_endpoint_configs_endpoint_endpoints", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "routing_table",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_routing_table"),
        sa.CheckConstraint("id = 1", name=op.f("ck_routing_table_one_row")),
    )
    op.create_table(
        "gateways",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_gateways"),
    )
