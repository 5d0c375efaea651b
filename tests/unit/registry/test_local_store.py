from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from servery.errors import InvalidInput, NotFound, Unavailable
from servery.names import Digest
from servery.registry.artifacts.local import LocalArtifactStore
from servery.registry.artifacts.store import Blob

SHA256 = Digest(hashlib.sha256(b"bytes").hexdigest())


@pytest.fixture
def store(home: Path) -> LocalArtifactStore:
    return LocalArtifactStore(home)


def put(store: LocalArtifactStore, content: bytes) -> Blob:
    upload = store.begin()
    try:
        upload.write(content)
        return upload.commit()
    except BaseException:
        upload.abort()
        raise


def test_a_blob_is_known_by_the_sha256_of_its_bytes(store: LocalArtifactStore) -> None:
    assert put(store, b"bytes") == Blob(SHA256, 5)
    with store.open(SHA256) as file:
        assert file.read() == b"bytes"


def test_equal_bytes_are_one_file(store: LocalArtifactStore, home: Path) -> None:
    put(store, b"bytes")
    put(store, b"bytes")

    assert len([path for path in home.rglob("*") if path.is_file()]) == 1


def test_a_damaged_blob_is_healed_by_the_same_bytes(store: LocalArtifactStore, home: Path) -> None:
    put(store, b"bytes")
    path = home / "blobs" / "sha256" / SHA256[:2] / SHA256
    path.write_bytes(b"bytez")
    put(store, b"bytes")

    assert path.read_bytes() == b"bytes"


def test_an_unknown_blob_is_not_found(store: LocalArtifactStore) -> None:
    with pytest.raises(NotFound):
        store.open(SHA256)


@pytest.mark.parametrize("sha256", ["", "../" + SHA256[3:], SHA256.upper(), SHA256[:-1]])
def test_what_is_no_digest_opens_nothing(store: LocalArtifactStore, sha256: str) -> None:
    with pytest.raises(InvalidInput):
        store.open(Digest(sha256))


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.ENOSPC, "full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EIO, "does not take")],
)
def test_a_disk_that_refuses_is_told_plainly_and_leaves_nothing(
    store: LocalArtifactStore, home: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, reason: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code), str(home))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(Unavailable, match=reason) as refusal:
            put(store, b"bytes")

    assert str(home) not in str(refusal.value)
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert put(store, b"bytes").sha256 == SHA256


def test_uploads_that_nobody_ended_are_removed_after_a_grace(store: LocalArtifactStore, home: Path) -> None:
    old, young = store.begin(), store.begin()
    old.write(b"half")
    young.write(b"half")
    staged = sorted((home / "blobs" / "staging").iterdir())
    os.utime(staged[0], (1_000, 1_000))

    assert store.remove_leftovers(older_than_ms=2_000_000) == 1
    assert list((home / "blobs" / "staging").iterdir()) == staged[1:]


def test_files_and_folders_are_private_whatever_the_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        put(LocalArtifactStore(home), b"bytes")
    finally:
        os.umask(before)

    below = list(home.rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in below if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in below if path.is_dir()} == {0o700}
