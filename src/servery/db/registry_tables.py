"""The registry's tables. What must always hold is said here, in SQL, and has a name.

blobs            the files, by what is in them
artifacts        uploaded files by path: a tree that anybody with the right may still change
packages         a version's frozen files: what a manifest's digest stands for
package_files
build_logs       how a gateway made a package's Python environment
check_reports    what 'servery check' found of a package
registered_models, model_tags
model_versions, version_tags, version_lineage
model_aliases

Two rules are about two rows, and so are triggers, made by migration 0005: a version's number is below its model's
``next_version``, and that only grows.
"""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from servery.db.base import Base

BigInt = Annotated[int, mapped_column(BigInteger)]
"""64 bits in every database: sizes, and milliseconds since the Unix epoch."""

LINEAGE_LENGTH_MAX = 256 << 10
"""The longest lineage document, in characters."""
READY = "READY"
DELETED = "DELETED"


class BlobRow(Base):
    """A file in the artifact store. A row is written after the file is complete and synced."""

    __tablename__ = "blobs"
    __table_args__ = (
        CheckConstraint("length(sha256) = 64", name="sha256_is_hexadecimal"),
        CheckConstraint("size_bytes >= 0", name="size_not_negative"),
    )

    sha256: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[BigInt]
    created_at_ms: Mapped[BigInt]


class ArtifactRow(Base):
    """An uploaded file. Its path is relative, without ``..`` or empty parts."""

    __tablename__ = "artifacts"
    __table_args__ = (CheckConstraint("path <> '' AND path NOT LIKE '/%'", name="path_is_relative"),)

    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    created_at_ms: Mapped[BigInt]


class PackageRow(Base):
    """The frozen files of one or more versions; ``digest`` is the SHA-256 of their manifest."""

    __tablename__ = "packages"
    __table_args__ = (CheckConstraint("length(digest) = 64", name="digest_is_hexadecimal"),)

    digest: Mapped[str] = mapped_column(primary_key=True)
    created_at_ms: Mapped[BigInt]


class PackageFileRow(Base):
    __tablename__ = "package_files"

    digest: Mapped[str] = mapped_column(ForeignKey("packages.digest"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)


class BuildLogRow(Base):
    """The last that one gateway told of the environment in which a package runs there."""

    __tablename__ = "build_logs"

    digest: Mapped[str] = mapped_column(ForeignKey("packages.digest"), primary_key=True)
    gateway: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
    at_ms: Mapped[BigInt]


class CheckReportRow(Base):
    """The newest report of a check of a package, as JSON."""

    __tablename__ = "check_reports"

    digest: Mapped[str] = mapped_column(ForeignKey("packages.digest"), primary_key=True)
    report: Mapped[str]
    at_ms: Mapped[BigInt]


class ModelRow(Base):
    """A registered model. ``next_version`` only grows, so a number is given once."""

    __tablename__ = "registered_models"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("next_version >= 1", name="next_version_from_1"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    next_version: Mapped[int] = mapped_column(server_default="1")
    created_at_ms: Mapped[BigInt]
    updated_at_ms: Mapped[BigInt]


class ModelTagRow(Base):
    __tablename__ = "model_tags"

    model_id: Mapped[int] = mapped_column(ForeignKey("registered_models.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class VersionRow(Base):
    """A version. A deleted one keeps its number and nothing else."""

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("model_id", "number", "status"),
        CheckConstraint("number >= 1", name="number_from_1"),
        CheckConstraint(
            f"(status = '{READY}' AND digest IS NOT NULL) OR "
            f"(status = '{DELETED}' AND digest IS NULL AND source = '' AND run_id = '' AND description = '')",
            name="ready_has_a_package_and_deleted_has_nothing",
        ),
        Index(
            "ix_model_versions_ready_digest",
            "digest",
            sqlite_where=text(f"status = '{READY}'"),
            postgresql_where=text(f"status = '{READY}'"),
        ),
    )

    model_id: Mapped[int] = mapped_column(ForeignKey("registered_models.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    digest: Mapped[str | None] = mapped_column(ForeignKey("packages.digest"))
    source: Mapped[str]
    description: Mapped[str]
    run_id: Mapped[str]
    run_link: Mapped[str]
    created_at_ms: Mapped[BigInt]
    updated_at_ms: Mapped[BigInt]


class VersionTagRow(Base):
    __tablename__ = "version_tags"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_id", "number"], ["model_versions.model_id", "model_versions.number"], ondelete="CASCADE"
        ),
    )

    model_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class AliasRow(Base):
    """An alias. ``status`` is there for the foreign key: an alias can only name a version that is READY."""

    __tablename__ = "model_aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_id", "number", "status"],
            ["model_versions.model_id", "model_versions.number", "model_versions.status"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"status = '{READY}'", name="names_a_ready_version"),
    )

    model_id: Mapped[int] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    status: Mapped[str] = mapped_column(server_default=READY)


class VersionLineageRow(Base):
    """Where an imported version came from: one JSON object. ``status`` as in :class:`AliasRow`."""

    __tablename__ = "version_lineage"
    __table_args__ = (
        ForeignKeyConstraint(
            ["model_id", "number", "status"],
            ["model_versions.model_id", "model_versions.number", "model_versions.status"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"status = '{READY}'", name="is_of_a_ready_version"),
        CheckConstraint(f"length(body) BETWEEN 2 AND {LINEAGE_LENGTH_MAX}", name="body_is_bounded"),
    )

    model_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(server_default=READY)
    body: Mapped[str]
