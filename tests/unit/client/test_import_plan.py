"""What an import changes, as tables: what both sides have is brought up to date, what only this one has stays."""

from __future__ import annotations

import json

import pytest

from servery.client.artifact_folders import RemoteFile
from servery.client.import_plan import TAGS_LENGTH_MAX, difference, model_changes, split_tags, version_changes
from servery.client.lineage import LENGTH_MAX, bounded
from servery.client.mlflow_server import SourceModel, SourceVersion
from servery.client.records import ModelVersion, RegisteredModel
from servery.names import Digest
from servery.package.manifest import FileEntry, Manifest

SPAM = SourceModel("spam", "d", tags={"a": "1"}, aliases={"champion": 3})
V3 = SourceVersion("spam", 3, "READY", "", description="d", tags={"a": "1"}, stage="Staging")


@pytest.mark.parametrize(
    ("here", "changes"),
    [
        (None, ["alias champion = 3"]),
        (RegisteredModel("spam", "d", tags={"a": "1"}, aliases={"champion": 3}), []),
        (
            RegisteredModel("spam", "", aliases={"champion": 2, "mine": 1}),
            ["description", "tag a = 1", "alias champion = 3"],
        ),
        (RegisteredModel("spam", "d", tags={"a": "1", "mine": "x"}, aliases={"champion": 3, "mine": 1}), []),
    ],
)
def test_a_model_is_brought_up_to_date(here: RegisteredModel | None, changes: list[str]) -> None:
    assert [str(change) for change in model_changes(SPAM, here)] == changes


@pytest.mark.parametrize(
    ("source", "here", "changes"),
    [
        (V3, None, []),
        (V3, ModelVersion("spam", 3, description="d", tags={"a": "1", "mlflow.stage": "Staging"}), []),
        (
            V3,
            ModelVersion("spam", 3, description="x", tags={"a": "2", "mlflow.stage": "Staging", "mine": "x"}),
            ["description of version 3", "tag a of version 3 = 1"],
        ),
        (
            SourceVersion("spam", 3, "READY", ""),
            ModelVersion("spam", 3, description="mine", tags={"mlflow.stage": "Staging"}),
            ["tag mlflow.stage of version 3 taken away"],
        ),
    ],
)
def test_a_version_is_brought_up_to_date(source: SourceVersion, here: ModelVersion | None, changes: list[str]) -> None:
    assert [str(change) for change in version_changes(source, here)] == changes


def test_tags_that_do_not_fit_into_one_call_follow() -> None:
    tags = {"first": "x" * 1000, "long": "x" * TAGS_LENGTH_MAX, "last": "y"}
    first, rest = split_tags(tags)
    assert {**first, **rest} == tags
    assert "long" in rest
    version = SourceVersion("spam", 1, "READY", "", tags=tags)
    assert {change.key for change in version_changes(version, None)} == set(rest)


A, B = FileEntry("a", Digest("0" * 64), 1), FileEntry("b", Digest("0" * 64), 2)


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        ([RemoteFile("a", 1), RemoteFile("b", 2)], None),
        ([RemoteFile("a", 1), RemoteFile("b", None)], None),
        ([RemoteFile("a", 1), RemoteFile("b", 2), RemoteFile("__pycache__/x.pyc", 9)], None),
        ([RemoteFile("a", 1)], "'b' is only here"),
        ([RemoteFile("a", 1), RemoteFile("b", 2), RemoteFile("c", 3)], "'c' is only there"),
        ([RemoteFile("a", 1), RemoteFile("b", 3)], "'b' has 2 bytes here and 3 there"),
    ],
)
def test_a_listing_is_held_against_a_manifest(there: list[RemoteFile], problem: str | None) -> None:
    assert difference(tuple(there), Manifest((A, B))) == problem


@pytest.mark.parametrize("count", [1, 100, 100_000])
def test_lineage_is_bounded_and_says_what_was_cut(count: int) -> None:
    tags = {f"tag {number}": "x" * (10_000_000 // count) for number in range(count)}
    document = bounded({"run": {"run_id": "r", "tags": tags}, "notes": []})
    assert len(json.dumps(document)) <= LENGTH_MAX
    assert document["run"]["run_id"] == "r"
    assert len(document["notes"]) == 1
