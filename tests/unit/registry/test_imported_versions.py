"""Versions that another server published: their numbers, times and lineage are kept, and numbers are given once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servery.db.registry_tables import LINEAGE_LENGTH_MAX
from servery.errors import AlreadyExists, InvalidInput, NotFound
from servery.names import Alias, ModelName, Version
from servery.registry.service import Registry

SPAM = ModelName("spam")
LONG_AGO = 1_500_000_000_000
Upload = Callable[..., str]
_INSERT_9 = (
    "INSERT INTO model_versions SELECT model_id, 9, status, digest, source, description, run_id, run_link, "
    "created_at_ms, updated_at_ms FROM model_versions WHERE number = 3"
)


@pytest.fixture
def bring(registry: Registry, upload: Upload) -> Callable[..., Any]:
    registry.create_model(SPAM, created_at_ms=LONG_AGO)
    source = upload()

    def bring(number: int, **more: Any) -> Any:
        return registry.import_version(SPAM, source, number=Version(number), created_at_ms=LONG_AGO, **more)

    return bring


def test_number_time_and_lineage_are_kept(registry: Registry, bring: Callable[..., Any]) -> None:
    lineage = {"run": {"run_id": "r1", "metrics": [{"key": "accuracy", "value": 0.9}]}, "title": "Größe"}
    brought = bring(3, description="d", run_id="r1", run_link="l", tags={"a": "1"}, lineage=lineage)

    assert (brought.version, brought.created_at_ms, brought.tags) == (3, LONG_AGO, {"a": "1"})
    assert (brought.description, brought.run_id, brought.run_link) == ("d", "r1", "l")
    assert registry.lineage(SPAM, Version(3)) == lineage
    assert registry.get_model(SPAM).created_at_ms == LONG_AGO


def test_gaps_stay_gaps_and_the_next_number_is_above_all(registry: Registry, bring: Callable[..., Any]) -> None:
    for number in (5, 2):
        bring(number)

    assert [found.version for found in registry.search_versions(order_by=["version_number ASC"]).records] == [2, 5]
    assert registry.create_version(SPAM, "models:/spam/2").version == 6
    assert registry.lineage(SPAM, Version(6)) is None


def test_a_number_is_given_once_even_when_its_version_is_gone(registry: Registry, bring: Callable[..., Any]) -> None:
    bring(1)
    with pytest.raises(AlreadyExists, match="version=1"):
        bring(1)
    registry.delete_version(SPAM, Version(1))
    with pytest.raises(AlreadyExists, match="version=1"):
        bring(1)


def test_a_deleted_version_has_no_lineage_left(registry: Registry, bring: Callable[..., Any], home: Path) -> None:
    bring(1, lineage={"run": None})
    registry.set_alias(SPAM, Alias("champion"), Version(1))
    registry.delete_version(SPAM, Version(1))

    with pytest.raises(NotFound):
        registry.lineage(SPAM, Version(1))
    with sqlite3.connect(home / "servery.db") as database:
        assert database.execute("SELECT count(*) FROM version_lineage").fetchone() == (0,)


def test_what_is_no_lineage_is_refused_and_leaves_nothing(registry: Registry, bring: Callable[..., Any]) -> None:
    for lineage in ({"a": float("nan")}, {"a": "x" * LINEAGE_LENGTH_MAX}):
        with pytest.raises(InvalidInput, match="lineage"):
            bring(1, lineage=lineage)
    assert registry.search_versions().records == ()


def test_a_time_to_come_is_taken_for_now_and_one_before_1970_is_refused(registry: Registry, upload: Upload) -> None:
    registry.create_model(SPAM)
    ahead = registry.import_version(SPAM, upload(), number=Version(1), created_at_ms=9_000_000_000_000)
    assert ahead.created_at_ms == ahead.updated_at_ms
    with pytest.raises(InvalidInput, match="created_at_ms"):
        registry.import_version(SPAM, upload(), number=Version(2), created_at_ms=-1)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE registered_models SET next_version = 3", "next_version only grows"),
        (_INSERT_9, "below its model's next_version"),
        ("UPDATE model_versions SET status = 'DELETED', digest = NULL, source = ''", "FOREIGN KEY"),
    ],
)
def test_the_database_itself_holds_the_rules(bring: Callable[..., Any], home: Path, statement: str, rule: str) -> None:
    bring(3, lineage={})
    with sqlite3.connect(home / "servery.db") as database:
        database.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match=rule):
            database.execute(statement)
