"""Where an imported version came from, and version numbers that others gave: what must hold of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NUMBERS_STAY_BELOW = """
CREATE TRIGGER model_versions_stay_below_next_version BEFORE INSERT ON model_versions
WHEN NEW.number >= (SELECT next_version FROM registered_models WHERE id = NEW.model_id)
BEGIN SELECT RAISE(ABORT, 'a version number must be below its model''s next_version'); END
"""
_NEXT_ONLY_GROWS = """
CREATE TRIGGER registered_models_next_version_only_grows BEFORE UPDATE OF next_version ON registered_models
WHEN NEW.next_version < OLD.next_version
BEGIN SELECT RAISE(ABORT, 'next_version only grows, so that a number is given once'); END
"""


def upgrade() -> None:
    op.create_table(
        "version_lineage",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), server_default="READY", nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.CheckConstraint("status = 'READY'", name="ck_version_lineage_is_of_a_ready_version"),
        sa.CheckConstraint("length(body) BETWEEN 2 AND 262144", name="ck_version_lineage_body_is_bounded"),
        sa.ForeignKeyConstraint(
            ["model_id", "number", "status"],
            ["model_versions.model_id", "model_versions.number", "model_versions.status"],
            name="fk_version_lineage_model_id_number_status",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_id", "number", name="pk_version_lineage"),
    )
    # A CHECK sees one row, and these two rules are about two: a number that was given is never given again.
    op.execute(_NUMBERS_STAY_BELOW)
    op.execute(_NEXT_ONLY_GROWS)
