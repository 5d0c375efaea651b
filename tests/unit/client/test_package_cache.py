"""Packages on this machine: whoever finds one finds all of it, and what a killed process left goes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from servery.client.artifact_folders import RemoteFile
from servery.client.mlflow_transport import Advance
from servery.client.package_cache import PackageCache
from servery.errors import HomeUnusable, PackageInvalid

MLMODEL = b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"
FORK = multiprocessing.get_context("fork")


class Folder:
    """A package in memory, which counts what is fetched from it."""

    where = "a place"

    def __init__(self, etag: str | None = None) -> None:
        self.fetched: list[str] = []
        self._etag = etag

    def files(self) -> tuple[RemoteFile, ...]:
        return (RemoteFile("MLmodel", len(MLMODEL), self._etag), RemoteFile("data/x", 1, self._etag))

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> int:
        self.fetched.append(file.path)
        return target.write_bytes(MLMODEL if file.path == "MLmodel" else b"x")


@pytest.mark.parametrize(("pinned", "etag", "again"), [(True, None, 0), (False, "e", 0), (False, None, 2)])
def test_it_is_fetched_again_unless_it_is_known_to_be_the_same(
    tmp_path: Path, pinned: bool, etag: str | None, again: int
) -> None:
    cache, folder = PackageCache(tmp_path / "cache"), Folder(etag)
    digest = cache.add_from(folder, folder.files(), pinned=pinned, advance=lambda _: None)
    assert cache.is_whole(digest)
    folder.fetched.clear()
    assert cache.add_from(folder, folder.files(), pinned=pinned, advance=lambda _: None) == digest
    assert len(folder.fetched) == again


def test_what_is_no_package_is_not_kept(tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    with pytest.raises(PackageInvalid):
        cache.add(lambda folder: folder.mkdir())
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def _hang(cache: PackageCache, begun: Event) -> None:
    def fetch(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").write_bytes(b"x")
        begun.set()
        signal.pause()

    cache.add(fetch)


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    cache, folder = PackageCache(tmp_path / "cache"), Folder()
    begun = FORK.Event()
    process = FORK.Process(target=_hang, args=(cache, begun))
    process.start()
    assert begun.wait(20)
    cache.add_from(folder, folder.files(), pinned=True, advance=lambda _: None)
    assert len(list((tmp_path / "cache").glob(".fetch-*"))) == 1

    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(20)
    cache.add_from(folder, folder.files(), pinned=False, advance=lambda _: None)
    assert list((tmp_path / "cache").glob(".fetch-*")) == []


def test_one_import_at_a_time_has_a_home(tmp_path: Path) -> None:
    with (
        PackageCache(tmp_path / "c").alone("taken"),
        pytest.raises(HomeUnusable, match="taken"),
        PackageCache(tmp_path / "c").alone("taken"),
    ):
        pass
    with PackageCache(tmp_path / "c").alone("taken"):
        pass
