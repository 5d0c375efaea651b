"""A worker holds every file of its package against its SHA-256 before it runs anything of it."""

from __future__ import annotations

import hashlib
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from servery_worker.files import verify
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
    with pytest.raises(LoadError, match=r"lacks the file 'code/empty.py'") as caught:
        verify(str(tmp_path), files)
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_folder_is_refused_without_a_path_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot be read: No such file or directory") as caught:
        verify(str(tmp_path / "gone"), {})
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("path", ["extra", "code/json.py", "code/inner/deep/x", "code/empty.pyc", "__pycache__.py"])
def test_an_added_file_is_refused(tmp_path: Path, path: str) -> None:
    files = written(tmp_path)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(b"")
    with pytest.raises(LoadError, match=f"has the file '{path}', which was not registered"):
        verify(str(tmp_path), files)


@pytest.mark.parametrize("target", ["../MLmodel", "/etc/passwd", "/etc", "nothing"])
@pytest.mark.parametrize("path", ["code/empty.py", "code/more", "code/__pycache__"])
def test_a_link_is_refused(tmp_path: Path, path: str, target: str) -> None:
    files = written(tmp_path)
    (tmp_path / path).unlink(missing_ok=True)
    (tmp_path / path).symlink_to(target)
    with pytest.raises(LoadError, match=f"entry '{path}' is a link"):
        verify(str(tmp_path), files)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    files = written(tmp_path)
    (tmp_path / "MLmodel").unlink()
    os.mkfifo(tmp_path / "MLmodel")
    with pytest.raises(LoadError, match="entry 'MLmodel' is a link or no regular file"):
        verify(str(tmp_path), files)


def test_bytecode_beside_the_code_is_let_be(tmp_path: Path) -> None:
    files = written(tmp_path)
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "empty.cpython-311.pyc").write_bytes(b"x")
    verify(str(tmp_path), files)


IMPORTS = """
import sys
from servery_worker.files import import_sources_only
import_sources_only(sys.argv[1])
sys.path.insert(0, sys.argv[1] + "/code")
import spoken
print(spoken.WORD)
"""


def test_bytecode_beside_the_code_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    source = tmp_path / "code" / "spoken.py"
    source.write_text("WORD = 'planted'")
    compiled = Path(py_compile.compile(str(source)) or "")
    times = source.stat()
    source.write_text("WORD = 'genuine'")
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert compiled.is_file()
    answer = subprocess.run([sys.executable, "-c", IMPORTS, str(tmp_path)], capture_output=True, text=True, check=True)
    assert answer.stdout == "genuine\n"
