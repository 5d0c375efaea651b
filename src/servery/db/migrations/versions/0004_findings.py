"""What was found out about packages: how their environments were made, and what checks reported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "build_logs",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "gateway", name="pk_build_logs"),
        sa.ForeignKeyConstraint(["digest"], ["packages.digest"], name="fk_build_logs_digest_packages"),
    )
    op.create_table(
        "check_reports",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("report", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_check_reports"),
        sa.ForeignKeyConstraint(["digest"], ["packages.digest"], name="fk_check_reports_digest_packages"),
    )
