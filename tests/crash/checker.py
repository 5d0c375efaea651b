"""What must hold after a crash, looked at with SQLite and hashlib alone where the registry could deceive itself."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from servery.db import registry_tables
from servery.db.base import Base
from servery.db.engine import migrate, open_database
from servery.names import Digest, ModelName
from servery.registry.artifacts.local import LocalArtifactStore
from servery.registry.service import Registry
from tests.crash.operations import FixedClock

Snapshot = dict[str, list[tuple[Any, ...]]]
_TABLES = sorted(
    mapper.local_table.name  # type: ignore[attr-defined]
    for mapper in Base.registry.mappers
    if mapper.class_.__module__ == registry_tables.__name__
)


def snapshot(home: Path) -> Snapshot:
    """All rows of the registry."""
    with sqlite3.connect(home / "servery.db") as database:
        return {table: sorted(database.execute(f"SELECT * FROM {table}")) for table in _TABLES}


def violations(home: Path, *, allowed: list[Snapshot]) -> list[str]:
    """One sentence for each rule that does not hold; ``allowed`` are the states that the rows may be in."""
    try:
        # What every start does first; it must find its way from wherever the last one was stopped.
        engine = open_database(home)
        migrate(engine)
        found = [*_database(home), *_blobs(home), *_versions(home)]
        if snapshot(home) not in allowed:
            found.append("the rows are neither those before the interrupted step nor those after it")
        registry = Registry(engine, LocalArtifactStore(home), FixedClock())
        found += _packages(home, registry)
        registry.create_model(ModelName("created-after-the-crash"))
        engine.dispose()
    except Exception as error:
        return [f"the registry does not work after the crash: {type(error).__name__}: {error}"]
    return found


def _database(home: Path) -> Iterator[str]:
    with sqlite3.connect(home / "servery.db") as database:
        if (answer := database.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
            yield f"integrity_check says {answer}"
        if broken := database.execute("PRAGMA foreign_key_check").fetchall():
            yield f"foreign_key_check says {broken}"


def _blobs(home: Path) -> Iterator[str]:
    """Every file that the database names is there, whole."""
    with sqlite3.connect(home / "servery.db") as database:
        rows = database.execute("SELECT sha256, size_bytes FROM blobs").fetchall()
    for sha256, size_bytes in rows:
        path = home / "blobs" / "sha256" / sha256[:2] / sha256
        if not path.exists():
            yield f"the file {sha256[:12]} is named but not there"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != sha256 or path.stat().st_size != size_bytes:
            yield f"the file {sha256[:12]} has other bytes"


def _versions(home: Path) -> Iterator[str]:
    with sqlite3.connect(home / "servery.db") as database:
        numbers = database.execute(
            "SELECT m.name, m.next_version, count(v.number), count(DISTINCT v.number), coalesce(max(v.number), 0)"
            " FROM registered_models m LEFT JOIN model_versions v ON v.model_id = m.id GROUP BY m.id"
        ).fetchall()
        astray = database.execute(
            "SELECT a.alias FROM model_aliases a LEFT JOIN model_versions v"
            " ON v.model_id = a.model_id AND v.number = a.number AND v.status = 'READY' WHERE v.number IS NULL"
        ).fetchall()
    for name, next_version, count, different, highest in numbers:
        # An import may leave gaps; what is created here follows the highest number.
        if not (count == different and highest == next_version - 1):
            yield f"the versions of {name} are not numbered once each up to {next_version - 1}"
    for (alias,) in astray:
        yield f"the alias {alias} names no version that is READY"


def _packages(home: Path, registry: Registry) -> Iterator[str]:
    """Every version's manifest is the one that its digest stands for."""
    with sqlite3.connect(home / "servery.db") as database:
        digests = database.execute("SELECT DISTINCT digest FROM model_versions WHERE status = 'READY'").fetchall()
    for (digest,) in digests:
        manifest = registry.manifest(Digest(digest))
        if manifest.digest != digest:
            yield f"the manifest of {digest[:12]} has another digest"
        registry.mlmodel(manifest)
