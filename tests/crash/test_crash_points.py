"""A registry that is killed at any point loses nothing that it acknowledged and keeps nothing by halves."""

from __future__ import annotations

from pathlib import Path

import pytest

from servery.names import Digest, ModelName
from servery.registry.artifacts.local import LocalArtifactStore, LocalUpload
from servery.registry.artifacts.store import Blob
from servery.registry.service import Registry
from tests.crash.campaign import Campaign
from tests.crash.operations import OPERATIONS, Operation, Step, on_registry, open_registry

EVERY = 7
"""``make crash`` tries every point."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("crash"))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_nothing_acknowledged_is_lost_and_nothing_is_half_done(campaign: Campaign, operation: Operation) -> None:
    report = campaign.run(operation, every=EVERY)

    assert report.points > 0
    assert report.violations == ()


class _LateUpload(LocalUpload):
    """Tells the digest before the file is where it belongs: the registry names it too early."""

    def commit(self) -> Blob:
        return Blob(Digest(self._sha256.hexdigest()), self._size_bytes)


class _LateStore(LocalArtifactStore):
    def begin(self) -> LocalUpload:
        self.upload = _LateUpload(self._staging / "late", self._blobs)
        return self.upload


def _put_with_late_rename(home: Path) -> list[Step]:
    store = _LateStore(home)
    registry = open_registry(home, store)
    late = [b"late"]
    return [lambda: (registry.put_artifact("uploads/late/MLmodel", late), LocalUpload.commit(store.upload))]


def test_the_checker_catches_a_file_that_is_named_before_it_is_in_place(campaign: Campaign) -> None:
    report = campaign.run(Operation("late rename", _put_with_late_rename))

    assert any("is named but not there" in violation.message for violation in report.violations)


def test_the_checker_catches_a_step_of_two_transactions(campaign: Campaign) -> None:
    def steps(registry: Registry) -> list[Step]:
        def create_then_tag() -> None:
            registry.create_model(ModelName("torn"))
            registry.set_model_tag(ModelName("torn"), key="team", value="mail")

        return [create_then_tag]

    report = campaign.run(on_registry("torn", steps))

    assert any("neither those before" in violation.message for violation in report.violations)
