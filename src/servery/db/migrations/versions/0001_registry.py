"""The registry: blobs, artifacts, packages, models, versions, aliases, tags.

The form that the tables had at this step, whatever they have become since: see ``db/registry_tables.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("length(sha256) = 64", name="ck_blobs_sha256_is_hexadecimal"),
        sa.CheckConstraint("size_bytes >= 0", name="ck_blobs_size_not_negative"),
        sa.PrimaryKeyConstraint("sha256", name="pk_blobs"),
    )
    op.create_table(
        "packages",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("length(digest) = 64", name="ck_packages_digest_is_hexadecimal"),
        sa.PrimaryKeyConstraint("digest", name="pk_packages"),
    )
    op.create_table(
        "registered_models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), server_default="", nullable=False),
        sa.Column("next_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("name <> ''", name="ck_registered_models_name_not_empty"),
        sa.CheckConstraint("next_version >= 1", name="ck_registered_models_next_version_from_1"),
        sa.PrimaryKeyConstraint("id", name="pk_registered_models"),
        sa.UniqueConstraint("name", name="uq_registered_models_name"),
    )
    op.create_table(
        "artifacts",
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("path <> '' AND path NOT LIKE '/%'", name="ck_artifacts_path_is_relative"),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name="fk_artifacts_sha256"),
        sa.PrimaryKeyConstraint("path", name="pk_artifacts"),
    )
    op.create_index("ix_artifacts_sha256", "artifacts", ["sha256"], unique=False)
    op.create_table(
        "model_tags",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["registered_models.id"], name="fk_model_tags_model_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "key", name="pk_model_tags"),
    )
    op.create_table(
        "model_versions",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("run_link", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'READY' AND digest IS NOT NULL) OR "
            "(status = 'DELETED' AND digest IS NULL AND source = '' AND run_id = '' AND description = '')",
            name="ck_model_versions_ready_has_a_package_and_deleted_has_nothing",
        ),
        sa.CheckConstraint("number >= 1", name="ck_model_versions_number_from_1"),
        sa.ForeignKeyConstraint(["digest"], ["packages.digest"], name="fk_model_versions_digest"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["registered_models.id"], name="fk_model_versions_model_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "number", name="pk_model_versions"),
        sa.UniqueConstraint("model_id", "number", "status", name="uq_model_versions_model_id_number_status"),
    )
    op.create_index(
        "ix_model_versions_ready_digest",
        "model_versions",
        ["digest"],
        unique=False,
        sqlite_where=sa.text("status = 'READY'"),
        postgresql_where=sa.text("status = 'READY'"),
    )
    op.create_table(
        "package_files",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["packages.digest"], name="fk_package_files_digest"),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name="fk_package_files_sha256"),
        sa.PrimaryKeyConstraint("digest", "path", name="pk_package_files"),
    )
    op.create_index("ix_package_files_sha256", "package_files", ["sha256"], unique=False)
    op.create_table(
        "model_aliases",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), server_default="READY", nullable=False),
        sa.CheckConstraint("status = 'READY'", name="ck_model_aliases_names_a_ready_version"),
        sa.ForeignKeyConstraint(
            ["model_id", "number", "status"],
            ["model_versions.model_id", "model_versions.number", "model_versions.status"],
            name="fk_model_aliases_model_id_number_status",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_id", "alias", name="pk_model_aliases"),
    )
    op.create_table(
        "version_tags",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id", "number"],
            ["model_versions.model_id", "model_versions.number"],
            name="fk_version_tags_model_id_number",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_id", "number", "key", name="pk_version_tags"),
    )
