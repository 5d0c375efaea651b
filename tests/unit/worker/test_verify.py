"""A worker holds every file of its package against its SHA-256 before it runs anything of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from servery_worker.loop import verify
from servery_worker.predictor import LoadError

CONTENT = b"flavors: {}\n" * 1000


def written(folder: Path) -> dict[str, str]:
    (folder / "code").mkdir()
    (folder / "MLmodel").write_bytes(CONTENT)
    (folder / "code" / "empty.py").write_bytes(b"")
    return {"MLmodel": hashlib.sha256(CONTENT).hexdigest(), "code/empty.py": hashlib.sha256(b"").hexdigest()}


def test_files_that_are_as_they_were_registered_pass(tmp_path: Path) -> None:
    verify(str(tmp_path), written(tmp_path))


@pytest.mark.parametrize("position", [0, 17, len(CONTENT) // 2, len(CONTENT) - 1])
def test_one_flipped_bit_anywhere_is_refused(tmp_path: Path, position: int) -> None:
    files = written(tmp_path)
    changed = bytearray(CONTENT)
    changed[position] ^= 1
    (tmp_path / "MLmodel").write_bytes(changed)
    with pytest.raises(LoadError, match="'MLmodel' is not what was registered"):
        verify(str(tmp_path), files)


def test_a_missing_file_is_refused_without_a_path_of_the_machine(tmp_path: Path) -> None:
    files = written(tmp_path)
    (tmp_path / "code" / "empty.py").unlink()
    with pytest.raises(LoadError, match=r"'code/empty.py' cannot be read") as caught:
        verify(str(tmp_path), files)
    assert str(tmp_path) not in str(caught.value)
