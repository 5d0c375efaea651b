"""A manifest names every file of a package, in one form only."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from servery.errors import PackageInvalid
from servery.names import Digest
from servery.package.manifest import FileEntry, check_relative_path, decode_manifest, make_manifest, manifest_of_folder

SHA = Digest("a" * 64)


def entry(path: str = "a", sha256: str = SHA, size_bytes: str = "1") -> str:
    return f'{{"path":"{path}","sha256":"{sha256}","size_bytes":{size_bytes}}}'


def test_it_lists_every_file_below_the_folder_by_path(tmp_path: Path) -> None:
    (tmp_path / "code" / "inner").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "MLmodel").write_bytes(b"flavors: {}")
    (tmp_path / "code" / "inner" / "módulo.py").write_bytes(b"")
    manifest = manifest_of_folder(tmp_path)
    assert [(file.path, file.size_bytes) for file in manifest.files] == [("MLmodel", 11), ("code/inner/módulo.py", 0)]
    assert manifest.files[0].sha256 == hashlib.sha256(b"flavors: {}").hexdigest()
    assert manifest.size_bytes == 11


def test_its_digest_is_the_sha256_of_its_canonical_json() -> None:
    manifest = make_manifest([FileEntry("b", SHA, 2), FileEntry("a", SHA, 1)])
    text = f'{{"files":[{entry("a", size_bytes="1")},{entry("b", size_bytes="2")}]}}'
    assert manifest.encode() == text.encode()
    assert manifest.digest == hashlib.sha256(text.encode()).hexdigest()
    assert decode_manifest(manifest.encode()) == manifest


def test_one_changed_byte_gives_another_digest(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"one")
    before = manifest_of_folder(tmp_path).digest
    (tmp_path / "model.pkl").write_bytes(b"two")
    assert manifest_of_folder(tmp_path).digest != before


NOT_CANONICAL = {
    "no JSON": "{",
    "another shape": "[]",
    "no files": "{}",
    "a file that is no object": '{"files":[1]}',
    "spaces": '{"files": []}',
    "another field": '{"files":[],"more":1}',
    "unsorted": f'{{"files":[{entry("b")},{entry("a")}]}}',
    "a broken SHA-256": f'{{"files":[{entry(sha256="xyz")}]}}',
    "a negative size": f'{{"files":[{entry(size_bytes="-1")}]}}',
    "a size that is a boolean": f'{{"files":[{entry(size_bytes="true")}]}}',
    "a path that is a number": '{"files":[{"path":1,"sha256":"","size_bytes":1}]}',
    "deep nesting": "[" * 100_000,
}


@pytest.mark.parametrize("case", NOT_CANONICAL)
def test_only_the_canonical_form_is_read(case: str) -> None:
    with pytest.raises(PackageInvalid, match="canonical"):
        decode_manifest(NOT_CANONICAL[case].encode())


def test_a_path_may_not_be_there_twice() -> None:
    with pytest.raises(PackageInvalid, match="twice"):
        make_manifest([FileEntry("a", SHA, 1), FileEntry("a", SHA, 2)])


def test_a_path_may_not_be_file_and_folder() -> None:
    with pytest.raises(PackageInvalid, match="both as a file and as a folder"):
        make_manifest([FileEntry("a", SHA, 1), FileEntry("a/b/c", SHA, 2)])


@pytest.mark.parametrize("path", ["MLmodel", "a/b", "a b/c.d", "..a", "a..", "%2e%2e", "é", "x" * 1024])
def test_a_path_inside_the_folder_is_given_back(path: str) -> None:
    assert check_relative_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "a/", "//a"),
        *("a\\b", "..\\x", "a\0b", "x" * 1025, "é" * 513, "\udcff"),
    ],
)
def test_every_other_path_is_refused(path: str) -> None:
    with pytest.raises(PackageInvalid):
        check_relative_path(path)


def test_a_link_is_refused_even_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PackageInvalid, match="'b' is a link"):
        manifest_of_folder(tmp_path)


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "etc").symlink_to("/etc")
    with pytest.raises(PackageInvalid, match="'etc' is a link"):
        manifest_of_folder(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackageInvalid, match="'pipe' is not a regular file"):
        manifest_of_folder(tmp_path)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # A socket's address is short; its folder's path may not be.
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("s")
        with pytest.raises(PackageInvalid, match="'s' is not a regular file"):
            manifest_of_folder(tmp_path)


def test_a_link_deep_inside_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "code" / "inner").mkdir(parents=True)
    (tmp_path / "code" / "inner" / "__pycache__").symlink_to("/etc")
    with pytest.raises(PackageInvalid, match="'code/inner/__pycache__' is a link"):
        manifest_of_folder(tmp_path)


@pytest.mark.parametrize("name", [b"\xff", b"a\\b", b"x" * 200])
def test_a_name_that_no_package_can_have_is_refused(tmp_path: Path, name: bytes) -> None:
    folder = os.path.join(os.fsencode(tmp_path), *([name] * (6 if len(name) > 100 else 1)))
    os.makedirs(folder)
    with open(os.path.join(folder, b"file"), "wb"):
        pass
    with pytest.raises(PackageInvalid, match="path"):
        manifest_of_folder(tmp_path)


def test_hard_links_and_names_that_differ_in_case_are_files_as_any(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "A").hardlink_to(tmp_path / "a")
    assert [file.path for file in manifest_of_folder(tmp_path).files] == ["A", "a"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_files_is_no_package(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PackageInvalid, match=f"'{name}'"):
        manifest_of_folder(tmp_path / name)


def test_bytecode_left_by_an_interpreter_is_no_part_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "code" / "__pycache__").mkdir(parents=True)
    (tmp_path / "code" / "loader.py").write_text("x = 1\n")
    (tmp_path / "code" / "__pycache__" / "loader.cpython-311.pyc").write_bytes(b"bytecode")
    assert [file.path for file in manifest_of_folder(tmp_path).files] == ["code/loader.py"]
