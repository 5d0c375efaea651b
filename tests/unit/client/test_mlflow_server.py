"""A server that says anything at all harms nobody: what it lists, where it leads, how it fails."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from servery.client.artifact_folders import ProxiedFolder, fill_folder
from servery.client.mlflow_server import MlflowServer
from servery.client.sources import open_location
from servery.config import MlflowConfig
from servery.errors import ConfigInvalid, InvalidInput, NotFound, PackageInvalid, RemoteError, Unreachable
from tests.servers import free_port

Answer = tuple[int, dict[str, str], Any]


class Asked:
    """What a server was asked, and by whom."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.logins: list[str | None] = []


@contextmanager
def answering(
    answer: Callable[[str], Answer],
    config: MlflowConfig = MlflowConfig(),  # noqa: B008 - frozen
) -> Iterator[tuple[MlflowServer, Asked]]:
    """A server that gives each path its answer: status, headers, and JSON or bytes."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.paths.append(self.path)
            asked.logins.append(self.headers.get("Authorization"))
            status, headers, body = answer(self.path)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with MlflowServer(config, f"http://127.0.0.1:{server.server_address[1]}") as mlflow:
            yield mlflow, asked
    finally:
        server.shutdown()
        server.server_close()


def listing(*entries: dict[str, Any]) -> Callable[[str], Answer]:
    return lambda _path: (200, {}, {"files": list(entries)})


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "..", "a/b", "", ".", "a\\b", "x" * 2000])
@pytest.mark.parametrize("is_dir", [False, True])
def test_a_name_that_leads_elsewhere_is_refused(name: str, is_dir: bool) -> None:
    answer = listing({"path": "MLmodel", "is_dir": False, "file_size": 1}, {"path": name, "is_dir": is_dir})
    with answering(answer) as (server, _), pytest.raises(PackageInvalid):
        ProxiedFolder(server, "1/m").files()


def test_folders_without_end_are_refused() -> None:
    with answering(listing({"path": "deeper", "is_dir": True})) as (server, _), pytest.raises(PackageInvalid):
        ProxiedFolder(server, "1/m").files()


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    def answer(path: str) -> Answer:
        if "?" in path:
            return 200, {}, {"files": [{"path": "MLmodel", "is_dir": False, "file_size": 5}]}
        return 200, {}, b"four"

    with answering(answer) as (server, _):
        folder = ProxiedFolder(server, "1/m")
        with pytest.raises(RemoteError, match=r"'MLmodel' of .* came with 4 bytes instead of 5"):
            fill_folder(folder, folder.files(), tmp_path / "new", lambda _count: None)


@pytest.mark.parametrize(
    ("config", "login"),
    [
        (MlflowConfig(token="t-1"), "Bearer t-1"),
        (MlflowConfig(username="ada", password="pw"), "Basic " + base64.b64encode(b"ada:pw").decode()),
        (MlflowConfig(token="t-1", username="ada", password="pw"), "Basic " + base64.b64encode(b"ada:pw").decode()),
        (MlflowConfig(username="ada"), None),
    ],
)
def test_credentials_are_sent_as_mlflow_s_client_sends_them_and_shown_nowhere(
    config: MlflowConfig, login: str | None
) -> None:
    with (
        answering(lambda _path: (403, {}, {"message": "no"}), config) as (server, asked),
        pytest.raises(RemoteError, match=r"refuses this caller \(403\)") as raised,
    ):
        server.model("spam")
    assert asked.logins == [login]
    assert not {"t-1", "pw"} & set(f"{config!r} {raised.value}".replace("'", " ").split())


def test_a_redirect_is_not_followed() -> None:
    with answering(lambda _path: (200, {}, {})) as (other, other_asked):
        address = other.tracking.server
        with (
            answering(lambda _: (302, {"Location": f"{address}/x"}, {}), MlflowConfig(token="t")) as (server, _),
            pytest.raises(RemoteError, match="leads to another address"),
        ):
            server.model("spam")
    assert other_asked.paths == []


def test_a_busy_server_is_asked_again_a_few_times() -> None:
    answers = iter([(503, {"Retry-After": "0"}, {}), (429, {}, {}), (200, {}, {"registered_model": {"name": "spam"}})])
    with answering(lambda _path: next(answers)) as (server, asked):
        assert server.model("spam").name == "spam"
    assert len(asked.paths) == 3


def test_one_that_stays_busy_is_given_up() -> None:
    with (
        answering(lambda _path: (503, {"Retry-After": "0"}, {"message": "later"})) as (server, asked),
        pytest.raises(RemoteError, match="503: later"),
    ):
        server.model("spam")
    assert len(asked.paths) == 5


def test_one_that_is_down_is_said_to_be() -> None:
    with (
        MlflowServer(MlflowConfig(), f"http://ada:secret@127.0.0.1:{free_port()}") as server,
        pytest.raises(Unreachable, match=r"No MLflow server answers at http://127\.0\.0\.1:\d+\.$"),
    ):
        server.model("spam")


@pytest.mark.parametrize("body", [b"<html>log in</html>", [1], b"{"])
def test_what_is_no_mlflow_server_is_said_to_be_none(body: Any) -> None:
    with (
        answering(lambda _path: (200, {}, body)) as (server, _),
        pytest.raises(RemoteError, match="is it an MLflow server"),
    ):
        server.model("spam")


@pytest.mark.parametrize("body", [{}, {"registered_model": {}}, {"registered_model": {"name": "a", "aliases": [{}]}}])
def test_an_answer_of_another_form_is_an_error_of_the_server(body: Any) -> None:
    with (
        answering(lambda _path: (200, {}, body)) as (server, _),
        pytest.raises(RemoteError, match="not in MLflow's form"),
    ):
        server.model("spam")


def test_artifacts_that_are_out_of_reach_are_said_to_be(tmp_path: Path) -> None:
    with answering(lambda _path: (200, {}, {})) as (server, _):
        for uri, words in (
            (str(tmp_path / "none"), "does not hand them out; start it with --artifacts-destination"),
            (f"file://{tmp_path}/none", "does not hand them out"),
            ("dbfs:/x", "keeps these artifacts at 'dbfs:/x', which cannot be read from here"),
            ("hdfs://user:pw@host/x", "at 'host/x'"),
            ("relative/path", "cannot be read from here"),
            ("", "cannot be read from here"),
            ("mlflow-artifacts:/../../etc", "cannot be read from here"),
        ):
            with pytest.raises(RemoteError, match=words):
                open_location(uri, server, {})
        proxied = f"{server.tracking.server}/api/2.0/mlflow-artifacts/artifacts/1/m%20x"
        assert open_location(proxied, server, {}).where.startswith("mlflow-artifacts:/1/m x of ")


def test_a_missing_thing_is_not_found() -> None:
    with (
        answering(lambda _path: (404, {}, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no spam"})) as (
            one,
            _,
        ),
        pytest.raises(NotFound, match="no spam"),
    ):
        one.model("spam")


def test_a_server_must_be_named_by_an_address() -> None:
    with pytest.raises(ConfigInvalid, match="MLFLOW_TRACKING_URI"):
        MlflowServer(MlflowConfig())
    with pytest.raises(InvalidInput, match="MLflow server"):
        MlflowServer(MlflowConfig(), "sqlite:///mlflow.db")
