"""The control plane's database: opened, migrated, and used in two kinds of transaction.

SQLite in WAL mode, synced at every commit: what was acknowledged survives a crash. A reader sees one snapshot
and waits for nobody. Writers take the database's one write lock at their start (BEGIN IMMEDIATE), so no
transaction fails half-way because another one wrote first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.orm import Session

from servery.errors import HomeUnusable, Unavailable

BUSY_TIMEOUT_SECONDS = 20
"""How long a transaction may wait for the write lock before its caller is told to come back."""
_CONNECTIONS_MAX = 64
"""More than the threads that serve requests (40) and the reconciler."""
_WRITES = "servery_writes"
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_STORAGE = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not take or give the data",
    sqlite3.SQLITE_READONLY: "the disk or the file is read-only",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
}


def open_database(home: Path) -> Engine:
    """An engine on ``home/servery.db``, which is created when missing, readable by its owner only.

    Raises:
        HomeUnusable: the file cannot be created or opened.
    """
    path = home / "servery.db"
    try:
        # SQLite gives its -wal and -shm files the rights of the main file.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise HomeUnusable(f"The database {path} cannot be opened: {error.strerror}.") from None
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=8,
        max_overflow=_CONNECTIONS_MAX - 8,
        pool_timeout=BUSY_TIMEOUT_SECONDS,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables to this release's form, all in one transaction; processes that start together take turns.

    Raises:
        HomeUnusable: the database is damaged, not writable, or was written by a newer release.
    """
    # Alembic takes a third of a second to import; only this function needs it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "servery.db:migrations")
    path = engine.url.database
    try:
        with _start_lock(Path(f"{path}.lock")):
            _switch_to_wal(engine)
            with engine.execution_options(**{_WRITES: True}).begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except CommandError:
        raise HomeUnusable(f"The database {path} was written by a newer release of Servery.") from None
    except (exc.DatabaseError, sqlite3.Error, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else getattr(error, "orig", error)
        raise HomeUnusable(f"The database {path} cannot be brought up to date: {reason}.") from None


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that sees one snapshot and changes nothing.

    Raises:
        Unavailable: the database cannot be read now.
    """
    with _said_plainly(), Session(engine) as session:
        yield session


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that holds the write lock; when the block ends it is committed and on disk, or undone.

    Raises:
        Unavailable: another writer holds the lock for too long, or the disk takes no data. Nothing was changed.
    """
    with _said_plainly(), Session(engine.execution_options(**{_WRITES: True})) as session, session.begin():
        # A session connects when first used; the lock is taken now.
        session.connection()
        yield session


def _prepare_connection(connection: sqlite3.Connection, _record: Any) -> None:
    # The transactions are ours to begin: Python's driver would begin them late and deferred.
    connection.isolation_level = None
    for pragma in ("foreign_keys = ON", "synchronous = FULL", f"busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _switch_to_wal(engine: Engine) -> None:
    """Needs the file for itself, and is remembered in it: hence once, at the start, under the lock."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


@contextlib.contextmanager
def _start_lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    """Turn the driver's errors that time or an operator can mend into ``Unavailable``; let bugs through."""
    try:
        yield
    except exc.TimeoutError:
        raise Unavailable("The server has too many requests at work; try again.", retry_after_seconds=1) from None
    except exc.OperationalError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            raise Unavailable("The database is busy; try again.", retry_after_seconds=1) from None
        if code in _STORAGE:
            message = f"The server's database cannot be used: {_STORAGE[code]}."
            raise Unavailable(message, retry_after_seconds=10) from None
        raise
