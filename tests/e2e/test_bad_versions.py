"""A version that does not load, or loads wrong, never replaces one that works."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import servery
from servery.client.records import Update
from servery.errors import ServeryError
from tests.models import spoil
from tests.servers import Both, both_planes


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    settings = {"load_timeout_seconds": 4}
    with both_planes(tmp_path_factory.mktemp("planes") / "home", settings=settings) as running:
        yield running


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("raise", "no recipe today"),
        ("exit", "ended with status 3"),
        ("hang", "not ready within 4 s"),
        ("answer wrongly", "otherwise than recorded"),
    ],
)
def test_the_old_version_stays_and_the_state_says_why(
    both: Both, client: servery.Client, echo_folders: tuple[Path, Path], tmp_path: Path, how: str, cause: str
) -> None:
    name = f"spoilt-by-{how.split(maxsplit=1)[0]}"
    client.register(echo_folders[0], name=name, alias="champion")
    client.deploy(name, f"models:/{name}@champion")
    bad = client.register(spoil(shutil.copytree(echo_folders[1], tmp_path / "bad"), how), name=name)

    client.set_alias(name, "champion", bad.version)

    endpoint = client.endpoint(name)
    assert endpoint.update is Update.FAILED
    assert cause in (endpoint.failure or "")
    assert client.predict(name, [[5, 0]]) == [[1, 5, 5]]
    assert len([worker for worker in both.up.workers() if f"{name}/" in " ".join(worker.cmdline())]) == 1


def test_a_deploy_of_a_bad_version_fails_with_the_cause(
    client: servery.Client, echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    client.register(spoil(shutil.copytree(echo_folders[0], tmp_path / "bad"), "raise"), name="never")
    with pytest.raises(ServeryError, match="no recipe today"):
        client.deploy("never", "models:/never/1")


def test_the_next_good_version_takes_over_after_a_bad_one(
    client: servery.Client, echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    client.register(echo_folders[0], name="mended", alias="champion")
    client.deploy("mended", "models:/mended@champion")
    bad = client.register(spoil(shutil.copytree(echo_folders[1], tmp_path / "bad"), "raise"), name="mended")
    client.set_alias("mended", "champion", bad.version)
    good = client.register(echo_folders[1], name="mended")
    client.set_alias("mended", "champion", good.version)
    assert client.endpoint("mended").update is Update.DONE
    assert client.predict("mended", [[5, 0]]) == [[2, 5, 10]]


def test_a_version_whose_bytes_changed_in_the_store_is_never_served(
    both: Both, client: servery.Client, echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    client.register(echo_folders[0], name="tampered", alias="champion")
    client.deploy("tampered", "models:/tampered@champion")
    folder = shutil.copytree(echo_folders[1], tmp_path / "changed")
    (folder / "manifest.json").unlink()
    (folder / "note.txt").write_text("a file of this version alone")
    version = client.register(folder, name="tampered")
    sha256 = hashlib.sha256((folder / "note.txt").read_bytes()).hexdigest()
    (both.home / "blobs" / "sha256" / sha256[:2] / sha256).write_text("a file of this version ALONE")

    client.set_alias("tampered", "champion", version.version)

    endpoint = client.endpoint("tampered")
    assert endpoint.update is Update.FAILED
    assert "note.txt" in (endpoint.failure or "")
    assert client.predict("tampered", [[5, 0]]) == [[1, 5, 5]]
