from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from servery.clock import SystemClock
from servery.db import engine as engine_module
from servery.db.base import Base
from servery.db.engine import migrate, open_database, reading, writing
from servery.db.registry_tables import BlobRow
from servery.errors import HomeUnusable, Unavailable
from servery.names import ModelName
from servery.registry.artifacts.local import LocalArtifactStore
from servery.registry.service import Registry

FORK = multiprocessing.get_context("fork")


def test_the_database_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        engine = open_database(tmp_path)
        migrate(engine)
    finally:
        os.umask(before)

    files = [path for path in tmp_path.iterdir() if path.name.startswith("servery.db")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    engine.dispose()


def test_a_connection_syncs_every_commit_and_minds_foreign_keys(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    migrate(engine)
    with reading(engine) as session:
        pragmas = {
            name: session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    engine.dispose()


def test_the_migrations_lead_to_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from servery.db import deployment_tables, registry_tables

    engine = open_database(tmp_path)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == [], (registry_tables, deployment_tables)
    engine.dispose()


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        engine = open_database(tmp_path)
        migrate(engine)
        engine.dispose()


def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    migrate(engine)
    with writing(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(HomeUnusable, match="newer release"):
        migrate(engine)
    engine.dispose()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "servery.db").write_bytes(b"not a database" * 100)

    with pytest.raises(HomeUnusable, match="cannot be brought up to date"):
        migrate(open_database(tmp_path))


def test_a_block_that_raises_leaves_no_change(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    migrate(engine)

    def insert_and_fail() -> None:
        with writing(engine) as session:
            session.add(BlobRow(sha256="0" * 64, size_bytes=1, created_at_ms=0))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        insert_and_fail()
    with reading(engine) as session:
        assert session.query(BlobRow).count() == 0
    engine.dispose()


def test_a_writer_that_waits_too_long_is_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_SECONDS", 0)
    engine = open_database(tmp_path)
    migrate(engine)
    other = sqlite3.connect(tmp_path / "servery.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(Unavailable, match="busy") as refusal, writing(engine):
        pass
    assert refusal.value.retry_after_seconds == 1
    with reading(engine) as session:
        assert session.query(BlobRow).count() == 0
    other.close()
    engine.dispose()


def test_a_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    migrate(engine)
    rows = [{"sha256": f"{number:064}", "size_bytes": 1, "created_at_ms": 0} for number in range(5_000)]

    def insert(*, pages_max: int) -> None:
        with writing(engine) as session:
            session.execute(text(f"PRAGMA max_page_count = {pages_max}"))
            session.execute(text("INSERT INTO blobs VALUES (:sha256, :size_bytes, :created_at_ms)"), rows)

    with pytest.raises(Unavailable, match="disk is full"):
        insert(pages_max=60)
    insert(pages_max=1_000_000)
    engine.dispose()


def _start(home: Path) -> None:
    engine = open_database(home)
    migrate(engine)
    Registry(engine, LocalArtifactStore(home), SystemClock()).search_models()


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    processes = [FORK.Process(target=_start, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * len(processes)


def _create_versions(home: Path, count: int) -> list[int]:
    registry = Registry(open_database(home), LocalArtifactStore(home), SystemClock())
    return [registry.create_version(ModelName("spam"), "mlflow-artifacts:/uploads/1").version for _ in range(count)]


def test_processes_that_create_versions_get_each_number_once(tmp_path: Path) -> None:
    engine = open_database(tmp_path)
    migrate(engine)
    registry = Registry(engine, LocalArtifactStore(tmp_path), SystemClock())
    registry.create_model(ModelName("spam"))
    registry.put_artifact("uploads/1/MLmodel", [b"flavors: {python_function: {loader_module: mlflow.sklearn}}"])
    engine.dispose()

    with FORK.Pool(4) as pool:
        numbers = pool.starmap(_create_versions, [(tmp_path, 25)] * 4)

    assert sorted(number for some in numbers for number in some) == list(range(1, 101))
