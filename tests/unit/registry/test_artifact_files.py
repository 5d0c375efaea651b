from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servery.errors import InvalidInput, NotFound, Unavailable
from servery.names import Digest
from servery.registry.service import Registry


def read(registry: Registry, path: str) -> bytes:
    with registry.open_artifact(path).file as file:
        return file.read()


def test_a_file_comes_back_as_it_was_put(registry: Registry) -> None:
    blob = registry.put_artifact("a/b.bin", [b"one", b"", b"two"])

    assert read(registry, "a/b.bin") == b"onetwo"
    assert blob.size_bytes == 6


def test_a_file_is_replaced(registry: Registry) -> None:
    registry.put_artifact("a", [b"one"])
    registry.put_artifact("a", [b"two"])

    assert read(registry, "a") == b"two"


def test_a_listing_has_the_entries_of_one_folder(registry: Registry) -> None:
    for path in ("m/MLmodel", "m/code/a.py", "m/code/b.py", "m0", "m.txt"):
        registry.put_artifact(path, [b"x"])

    assert [(entry.name, entry.is_folder, entry.size_bytes) for entry in registry.list_artifacts("m")] == [
        ("MLmodel", False, 1),
        ("code", True, None),
    ]
    assert [entry.name for entry in registry.list_artifacts("")] == ["m", "m.txt", "m0"]
    assert registry.list_artifacts("m/MLmodel") == registry.list_artifacts("none") == ()


def test_a_folder_is_deleted_with_all_below_it_and_nothing_beside_it(registry: Registry) -> None:
    for path in ("m/MLmodel", "m/code/a.py", "m0"):
        registry.put_artifact(path, [b"x"])

    registry.delete_artifacts("m")

    assert [entry.name for entry in registry.list_artifacts("")] == ["m0"]
    with pytest.raises(NotFound):
        registry.delete_artifacts("m")


def test_a_path_is_a_file_or_a_folder(registry: Registry) -> None:
    registry.put_artifact("a/b", [b"x"])

    for path in ("a", "a/b/c"):
        with pytest.raises(InvalidInput, match="path"):
            registry.put_artifact(path, [b"x"])


CLIMBING = ["", ".", "..", "/etc/passwd", "../x", "a/../../x"]
AMBIGUOUS = ["a//b", "a/./b", "a/", "a\\..\\x", "a\0b", "x" * 1_025, "\ud800"]


@pytest.mark.parametrize("path", CLIMBING + AMBIGUOUS, ids=repr)
def test_a_path_that_climbs_or_has_two_spellings_is_refused(registry: Registry, home: Path, path: str) -> None:
    (home.parent / "x").write_bytes(b"canary")

    for use in (lambda: registry.put_artifact(path, [b"x"]), lambda: registry.open_artifact(path)):
        with pytest.raises(InvalidInput, match="path"):
            use()
    with pytest.raises((InvalidInput, NotFound)):
        registry.delete_artifacts(path)
    assert (home.parent / "x").read_bytes() == b"canary"


@pytest.mark.parametrize("path", ["packages/a", "packages", "packages/" + "0" * 64 + "/MLmodel"])
def test_published_packages_cannot_be_written(registry: Registry, path: str) -> None:
    with pytest.raises(InvalidInput, match="read-only"):
        registry.put_artifact(path, [b"x"])
    with pytest.raises(InvalidInput, match="read-only"):
        registry.delete_artifacts(path)


def test_a_file_that_the_store_has_lost_is_no_file_that_never_was(registry: Registry, home: Path) -> None:
    blob = registry.put_artifact("a", [b"x"])
    (home / "blobs" / "sha256" / blob.sha256[:2] / blob.sha256).unlink()

    with pytest.raises(Unavailable, match="has lost the file"):
        registry.open_artifact("a")
    with pytest.raises(NotFound):
        registry.open_blob(Digest("0" * 64))


def test_an_upload_that_is_not_ended_is_not_seen(registry: Registry, home: Path) -> None:
    upload = registry.begin_artifact("a")
    upload.write(b"half")

    assert registry.list_artifacts("") == ()
    upload.abort()
    assert list((home / "blobs" / "staging").iterdir()) == []


def test_chunks_that_raise_leave_nothing(registry: Registry, home: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        registry.put_artifact("a", chunks())
    assert list((home / "blobs" / "staging").iterdir()) == []
