"""Every way for a call to fail becomes one error with one sentence."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from servery.client import Client
from servery.client.packages import download_package
from servery.client.transport import Transport
from servery.errors import AlreadyExists, InvalidInput, NotFound, RemoteError, Unreachable
from servery.names import Digest
from servery.package.manifest import FileEntry, Manifest
from tests.servers import free_port


@contextmanager
def answering(answers: dict[str, tuple[int, bytes]]) -> Iterator[Transport]:
    """A server that gives each path its answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    transport = Transport(f"http://127.0.0.1:{server.server_address[1]}", timeout_seconds=5, advice="start it")
    try:
        yield transport
    finally:
        transport.close()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "error_code", "kind"),
    [
        (404, "RESOURCE_DOES_NOT_EXIST", NotFound),
        (400, "RESOURCE_ALREADY_EXISTS", AlreadyExists),
        (400, "INVALID_PARAMETER_VALUE", RemoteError),
        (503, "TEMPORARILY_UNAVAILABLE", RemoteError),
    ],
)
def test_the_servers_own_sentence_is_the_message(status: int, error_code: str, kind: type[Exception]) -> None:
    body = json.dumps({"error_code": error_code, "message": "There is no soup today."}).encode()
    with answering({"/x": (status, body)}) as transport, pytest.raises(kind, match=r"^There is no soup today\.$"):
        transport.json("GET", "/x")


def test_an_error_that_is_no_json_names_call_and_status() -> None:
    with (
        answering({"/x": (502, b"<html>")}) as transport,
        pytest.raises(RemoteError, match=r"GET /x with 502") as caught,
    ):
        transport.json("GET", "/x")
    assert caught.value.status == 502


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"3"])
def test_an_answer_that_is_no_object_is_refused(body: bytes) -> None:
    with answering({"/x": (200, body)}) as transport, pytest.raises(RemoteError, match="no JSON object"):
        transport.json("GET", "/x")


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with Client(address) as client, pytest.raises(Unreachable, match=rf"{address}.*servery up.*--server"):
        client.models()


@pytest.mark.parametrize("address", ["127.0.0.1:8400", "ftp://x", ""])
def test_an_address_without_http_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="server"):
        Client(address)


def package_answers(body: bytes, sent: bytes) -> tuple[Digest, dict[str, tuple[int, bytes]]]:
    sha256 = Digest(hashlib.sha256(body).hexdigest())
    manifest = Manifest((FileEntry("data/model.pkl", sha256, len(body)),))
    answers = {
        f"/api/2.0/servery/packages/{manifest.digest}": (200, manifest.encode()),
        f"/api/2.0/servery/blobs/{sha256}": (200, sent),
    }
    return manifest.digest, answers


def test_a_package_comes_down_file_by_file(tmp_path: Path) -> None:
    digest, answers = package_answers(b"model", b"model")
    with answering(answers) as transport:
        download_package(transport, digest, tmp_path / "package")
    assert (tmp_path / "package" / "data" / "model.pkl").read_bytes() == b"model"


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    digest, answers = package_answers(b"model", b"modem")
    with answering(answers) as transport, pytest.raises(RemoteError, match="damaged"):
        download_package(transport, digest, tmp_path / "package")


def test_another_manifest_than_that_of_the_digest_is_refused(tmp_path: Path) -> None:
    digest, answers = package_answers(b"model", b"model")
    other = Digest("0" * 64)
    answers[f"/api/2.0/servery/packages/{other}"] = answers[f"/api/2.0/servery/packages/{digest}"]
    with answering(answers) as transport, pytest.raises(RemoteError, match="another manifest"):
        download_package(transport, other, tmp_path / "package")


def test_a_client_without_an_address_goes_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVERY_HOME", str(tmp_path))
    assert Client().server == "http://127.0.0.1:8400"
    (tmp_path / "servery.toml").write_text('[client]\nserver = "http://127.0.0.1:8500"\n')
    assert Client().server == "http://127.0.0.1:8500"
    monkeypatch.setenv("SERVERY_SERVER", "http://127.0.0.1:8600")
    assert Client().server == "http://127.0.0.1:8600"
    assert Client("http://127.0.0.1:8700").server == "http://127.0.0.1:8700"
