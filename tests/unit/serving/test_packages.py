"""A gateway's copy of a package is used when it is whole, without the control plane, and never when it is damaged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from servery.errors import RemoteError
from servery.names import ModelName, Version
from servery.package.manifest import manifest_of_folder
from servery.routing import PoolSpec, pool_key
from servery.serving.packages import FetchedPackages
from tests.servers import free_port


@pytest.fixture
def spec(tmp_path: Path) -> PoolSpec:
    """A package that was fetched earlier; nothing answers at the control plane's address."""
    written = tmp_path / "written" / "package"
    (written / "code").mkdir(parents=True)
    (written / "MLmodel").write_bytes(b"flavors: {}\n")
    (written / "code" / "a.py").write_bytes(b"x = 1\n")
    manifest = manifest_of_folder(written)
    (written.parent / "manifest.json").write_bytes(manifest.encode())
    written.parent.rename(tmp_path / manifest.digest)
    model, version = ModelName("soup"), Version(1)
    return PoolSpec(pool_key(model, version, manifest.digest), model, version, manifest.digest, replicas=1)


def fetch(folder: Path, spec: PoolSpec) -> Path:
    packages = FetchedPackages(folder, f"http://127.0.0.1:{free_port()}")
    return asyncio.run(packages.fetch(spec))[0]


def test_a_whole_copy_needs_no_control_plane(tmp_path: Path, spec: PoolSpec) -> None:
    (tmp_path / spec.digest / "package" / "code" / "__pycache__").mkdir()
    assert fetch(tmp_path, spec) == tmp_path / spec.digest / "package"


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed file": (lambda kept: (kept / "package" / "code" / "a.py").write_bytes(b"x = 2\n"), "'code/a.py'"),
    "a missing file": (lambda kept: (kept / "package" / "MLmodel").unlink(), "'MLmodel'"),
    "an added file": (lambda kept: (kept / "package" / "code" / "b.py").touch(), "'code/b.py'"),
    "a link": (lambda kept: (kept / "package" / "b").symlink_to("MLmodel"), "'b' is a link"),
    "a changed manifest": (lambda kept: (kept / "manifest.json").write_bytes(b'{"files":[]}'), "manifest"),
    "a broken manifest": (lambda kept: (kept / "manifest.json").write_bytes(b"{"), "manifest"),
    "no manifest": (lambda kept: (kept / "manifest.json").unlink(), "manifest"),
    "no files": (lambda kept: (kept / "package").rename(kept / "elsewhere"), "'package' does not exist"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_copy_is_named_when_it_cannot_be_fetched_anew_and_stays_refused(
    tmp_path: Path, spec: PoolSpec, case: str
) -> None:
    damage, named = DAMAGE[case]
    damage(tmp_path / spec.digest)
    for _ in range(2):
        with pytest.raises(RemoteError, match=f"^The copy on this gateway is damaged: .*{named}.*could not be fetched"):
            fetch(tmp_path, spec)
