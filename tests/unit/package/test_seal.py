"""The seal lists every other file of a package as it was saved, and stands for itself, too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from servery.errors import PackageInvalid
from servery.names import Digest
from servery.package.manifest import FileEntry, Manifest, make_manifest, manifest_of_folder
from servery.package.seal import check_seal, checked_manifest, encode_seal, seal

SHA = Digest("a" * 64)
SAVED = make_manifest([FileEntry("MLmodel", SHA, 3), FileEntry("code/a.py", SHA, 0)])
BODY = encode_seal(SAVED)
SEAL = FileEntry("manifest.json", SHA, len(BODY))


def package(*files: FileEntry) -> Manifest:
    return make_manifest([*files, SEAL])


def test_it_is_json_for_people_with_the_digest_of_what_it_lists() -> None:
    fields = json.loads(BODY)
    assert fields["digest"] == SAVED.digest
    assert fields["files"][1] == {"path": "code/a.py", "sha256": SHA, "size_bytes": 0}
    assert BODY.count(b"\n") > 10


def test_a_package_as_it_was_saved_passes() -> None:
    check_seal(package(*SAVED.files), BODY)


DIFFERENT = {
    "a missing file": (SAVED.files[:1], "lacks the file 'code/a.py'"),
    "an added file": ((*SAVED.files, FileEntry("b", SHA, 1)), "has the file 'b'"),
    "another content": ((SAVED.files[0], replace(SAVED.files[1], sha256=Digest("b" * 64))), "'code/a.py' is not what"),
    "another name": ((SAVED.files[0], replace(SAVED.files[1], path="code/b.py")), "lacks the file 'code/a.py'"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_difference_is_named_with_what_to_do(case: str) -> None:
    files, named = DIFFERENT[case]
    with pytest.raises(PackageInvalid, match=named) as raised:
        check_seal(package(*files), BODY)
    assert raised.value.message.endswith("; if that was meant, delete manifest.json.")


def test_every_flipped_bit_of_the_seal_is_the_seals_own() -> None:
    for bit in range(len(BODY) * 8):
        damaged = bytearray(BODY)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PackageInvalid, match=r"'manifest\.json' is not what was saved"):
            check_seal(package(*SAVED.files), bytes(damaged))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"files": 1}', b"[" * 100_000, BODY[:-1], BODY + b" "])
def test_anything_else_is_no_seal(body: bytes) -> None:
    with pytest.raises(PackageInvalid, match=r"'manifest\.json'"):
        check_seal(package(*SAVED.files), body)


def test_a_folder_without_a_seal_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_bytes(b"abc")
    assert checked_manifest(tmp_path) == manifest_of_folder(tmp_path)


def test_the_seal_is_a_file_of_the_package_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_bytes(b"abc")
    seal(tmp_path)
    assert [file.path for file in checked_manifest(tmp_path).files] == ["MLmodel", "manifest.json"]
