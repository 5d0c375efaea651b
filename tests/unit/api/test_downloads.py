"""Files in and out: MLflow's artifact proxy, packages and blobs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from servery.package.manifest import decode_manifest
from tests.unit.api.conftest import ARTIFACTS, MLMODEL

SERVERY = "/api/2.0/servery"


def test_a_file_comes_back_as_it_was_put(client: TestClient) -> None:
    content = bytes(range(256)) * 2_000

    assert client.put(f"{ARTIFACTS}/uploads/a b/é.bin", content=content).json() == {}
    assert client.get(f"{ARTIFACTS}/uploads/a b/é.bin").content == content


@pytest.mark.parametrize("name", ["page.html", "image.svg", "MLmodel"])
def test_a_browser_neither_shows_nor_runs_a_file(client: TestClient, version: dict[str, Any], name: str) -> None:
    client.put(f"{ARTIFACTS}/uploads/2/{name}", content=b"<script>alert(1)</script>")
    sha256 = hashlib.sha256(MLMODEL).hexdigest()

    for path in (f"{ARTIFACTS}/uploads/2/{name}", f"{SERVERY}/blobs/{sha256}"):
        headers = client.get(path).headers
        assert headers["Content-Disposition"].startswith("attachment")
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_a_listing_names_entries_by_their_own_name(client: TestClient, source: str) -> None:
    assert client.get(ARTIFACTS, params={"path": "uploads"}).json() == {"files": [{"path": "1", "is_dir": True}]}
    assert client.get(ARTIFACTS, params={"path": "uploads/1"}).json() == {
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": len(MLMODEL)},
            {"path": "model.pkl", "is_dir": False, "file_size": 7},
        ]
    }


def test_a_file_is_deleted(client: TestClient, source: str) -> None:
    assert client.delete(f"{ARTIFACTS}/uploads/1/model.pkl").json() == {}
    assert client.get(f"{ARTIFACTS}/uploads/1/model.pkl").status_code == 404


CLIMBING = ["", "%2e", "uploads/%2e%2e", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "a%5c..%5cb", "a%00", "a/%2e/b"]


@pytest.mark.parametrize("path", CLIMBING)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_no_path_leaves_the_tree_or_takes_all_of_it(client: TestClient, source: str, method: str, path: str) -> None:
    answer = client.request(method, f"http://127.0.0.1:8400{ARTIFACTS}/{path}")

    assert answer.status_code in {400, 404, 405}
    assert len(client.get(ARTIFACTS, params={"path": "uploads/1"}).json()["files"]) == 2


@pytest.mark.parametrize("path", ["..", "/etc", "uploads/../..", "packages/../uploads"])
def test_no_listing_leaves_the_tree(client: TestClient, source: str, path: str) -> None:
    assert client.get(ARTIFACTS, params={"path": path}).json().get("files", []) == []


def test_a_file_has_a_limit_however_it_is_sent(client: TestClient, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    for content in (b"x" * ((1 << 20) + 1), chunks()):
        answer = client.put(f"{ARTIFACTS}/big", content=content)
        assert (answer.status_code, answer.json()["error_code"]) == (413, "BAD_REQUEST")
    assert client.get(f"{ARTIFACTS}/big").status_code == 404
    assert list(tmp_path.glob("blobs/staging/*")) == []


@pytest.mark.parametrize("path", ["mpu/create/a", "mpu/complete/a", "mpu/abort/a"])
def test_multipart_uploads_are_not_offered(client: TestClient, path: str) -> None:
    answer = client.post(f"/api/2.0/mlflow-artifacts/{path}", json={})

    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert client.get("/api/2.0/mlflow-artifacts/presigned/a").status_code == 501


def test_a_version_tells_its_digest_files_and_signature(client: TestClient, version: dict[str, Any]) -> None:
    answer = client.get(f"{SERVERY}/model-versions?name=spam&version=1").json()

    assert (answer["name"], answer["version"], answer["aliases"]) == ("spam", "1", [])
    assert [file["path"] for file in answer["files"]] == ["MLmodel", "model.pkl"]
    assert answer["signature"]["inputs"].startswith("[{")
    assert decode_manifest(client.get(f"{SERVERY}/packages/{answer['digest']}").content).digest == answer["digest"]


def test_a_version_is_named_by_number_or_alias_not_by_both(client: TestClient, version: dict[str, Any]) -> None:
    alias = {"name": "spam", "alias": "champion", "version": "1"}
    client.post("/api/2.0/mlflow/registered-models/alias", json=alias)

    assert client.get(f"{SERVERY}/model-versions?name=spam&alias=champion").json()["version"] == "1"
    for query in ("name=spam", "name=spam&version=1&alias=champion"):
        assert client.get(f"{SERVERY}/model-versions?{query}").status_code == 400


@pytest.mark.parametrize("path", ["packages/" + "0" * 64, "blobs/" + "0" * 64])
def test_an_unknown_digest_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(f"{SERVERY}/{path}").status_code == 404


@pytest.mark.parametrize("path", ["packages/x", "blobs/..%2f..%2fservery.db", "blobs/" + "A" * 64])
def test_what_is_no_digest_is_refused(client: TestClient, path: str) -> None:
    assert client.get(f"{SERVERY}/{path}").status_code in {400, 404}
