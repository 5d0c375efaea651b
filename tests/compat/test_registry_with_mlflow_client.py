"""A stock MLflow client works against the control plane's registry, in a process of its own on a real port."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

CONTROL = """
import sys
from pathlib import Path
from servery.api.server import run_control
from servery.config import ControlConfig
run_control(ControlConfig(home=Path(sys.argv[1]), port=int(sys.argv[2])))
"""
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
START_SECONDS = 30.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("control")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", CONTROL, str(home), str(port)])
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(20)
    assert status == 0


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health") as answer:
                assert answer.read() == b"OK"
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the control plane did not start")


@pytest.fixture
def client(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    # A refusal that stays must not be tried again for minutes.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(address)
    yield MlflowClient(address)
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def model() -> Any:
    return LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "spam"
    mlflow.sklearn.save_model(model, folder, serialization_format="cloudpickle")
    return folder


@pytest.fixture
def source(client: MlflowClient, folder: Path) -> str:
    """The package, uploaded by the client's own artifact repository."""
    source = f"mlflow-artifacts:/uploads/{uuid.uuid4().hex}"
    get_artifact_repository(source).log_artifacts(str(folder))
    return source


@pytest.fixture
def name(client: MlflowClient) -> str:
    """A registered model of the test's own."""
    name = f"spam {uuid.uuid4().hex[:8]}"
    client.create_registered_model(name, tags={"team": "mail"}, description="Finds spam.")
    return name


def test_a_model_is_created_read_updated_renamed_and_deleted(client: MlflowClient, name: str) -> None:
    assert client.get_registered_model(name).tags == {"team": "mail"}
    assert client.get_registered_model(name).description == "Finds spam."
    assert client.update_registered_model(name, "Better.").description == "Better."

    new_name = f"{name} renamed"
    client.rename_registered_model(name, new_name)
    assert client.get_registered_model(new_name).tags == {"team": "mail"}
    client.delete_registered_model(new_name)
    for gone in (name, new_name):
        with pytest.raises(RestException, match=r"RESOURCE_DOES_NOT_EXIST: Registered Model with name=.* not found"):
            client.get_registered_model(gone)


def test_a_name_that_exists_is_told_with_mlflow_s_code(client: MlflowClient, name: str) -> None:
    with pytest.raises(RestException, match="RESOURCE_ALREADY_EXISTS"):
        client.create_registered_model(name)


def test_models_are_searched_page_by_page(client: MlflowClient, name: str) -> None:
    names = [f"{name} {number}" for number in range(3)]
    for each in names:
        client.create_registered_model(each, tags={"set": name})

    text = f"name LIKE '{name} %' AND tags.set = '{name}'"
    first = client.search_registered_models(text, max_results=2, order_by=["name ASC"])
    second = client.search_registered_models(text, max_results=2, order_by=["name ASC"], page_token=first.token)

    assert [found.name for found in [*first, *second]] == names
    assert not second.token


def test_a_model_s_tags_are_set_and_deleted(client: MlflowClient, name: str) -> None:
    client.set_registered_model_tag(name, "tier", "gold")
    client.delete_registered_model_tag(name, "team")
    client.delete_registered_model_tag(name, "never-there")

    assert client.get_registered_model(name).tags == {"tier": "gold"}


def test_a_version_is_created_read_updated_and_deleted(client: MlflowClient, name: str, source: str) -> None:
    created = client.create_model_version(name, source, tags={"seed": "1"}, description="First.", run_id="r1")
    assert (created.version, created.status, created.source) == ("1", "READY", source)

    client.update_model_version(name, "1", "Better.")
    client.set_model_version_tag(name, "1", "score", "0.9")
    client.delete_model_version_tag(name, "1", "seed")
    version = client.get_model_version(name, "1")
    assert (version.description, version.tags, version.run_id) == ("Better.", {"score": "0.9"}, "r1")

    client.delete_model_version(name, "1")
    with pytest.raises(RestException, match=r"Model Version \(name=.*, version=1\) not found"):
        client.get_model_version(name, "1")
    assert client.create_model_version(name, source).version == "2"


def test_versions_are_searched(client: MlflowClient, name: str, source: str) -> None:
    for seed in ("1", "2"):
        client.create_model_version(name, source, tags={"seed": seed})

    assert [found.version for found in client.search_model_versions(f"name='{name}'")] == ["2", "1"]
    assert [found.version for found in client.search_model_versions(f"name='{name}' AND tags.seed='1'")] == ["1"]
    assert [found.version for found in client.get_latest_versions(name)] == ["2"]


def test_an_alias_is_set_moved_and_deleted(client: MlflowClient, name: str, source: str) -> None:
    for _ in range(2):
        client.create_model_version(name, source)
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "champion", "2")

    assert client.get_model_version_by_alias(name, "champion").version == "2"
    assert client.get_model_version(name, "2").aliases == ["champion"]
    assert client.get_registered_model(name).aliases == {"champion": "2"}
    client.delete_registered_model_alias(name, "champion")
    with pytest.raises(RestException, match="INVALID_PARAMETER_VALUE: Registered model alias champion not found"):
        client.get_model_version_by_alias(name, "champion")


@pytest.mark.parametrize("uri", ["models:/{name}/1", "models:/{name}@champion", "models:/{name}/latest"])
def test_a_model_is_loaded_by_its_uri_and_predicts(
    client: MlflowClient, name: str, source: str, model: Any, uri: str
) -> None:
    client.create_model_version(name, source)
    client.set_registered_model_alias(name, "champion", "1")
    rows = np.array([[0.2], [2.8]])

    loaded = mlflow.pyfunc.load_model(uri.format(name=name))

    assert loaded.predict(rows).tolist() == model.predict(rows).tolist()


def test_the_files_are_downloaded_as_they_were_published(
    client: MlflowClient, name: str, source: str, folder: Path, tmp_path: Path
) -> None:
    client.create_model_version(name, source)
    get_artifact_repository(source).delete_artifacts()

    uri = client.get_model_version_download_uri(name, "1")
    got = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(tmp_path)))

    expected = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = {str(path.relative_to(got)): path.read_bytes() for path in got.rglob("*") if path.is_file()}
    assert found == expected


def test_a_model_is_registered_by_its_artifact_uri(client: MlflowClient, source: str, name: str) -> None:
    assert mlflow.register_model(source, name).version == "1"


def test_a_version_is_copied_to_another_model(client: MlflowClient, name: str, source: str) -> None:
    client.create_model_version(name, source)

    copied = client.copy_model_version(f"models:/{name}/1", f"{name} production")

    assert (copied.name, copied.version, copied.source) == (f"{name} production", "1", f"models:/{name}/1")
    loaded = mlflow.pyfunc.load_model(f"models:/{name} production/1")
    assert loaded.predict(np.array([[2.8]])).tolist() == [1]


def test_an_upload_that_breaks_off_leaves_nothing(address: str, home: Path, client: MlflowClient) -> None:
    folder, port = f"uploads/{uuid.uuid4().hex}", int(address.rpartition(":")[2])
    head = f"PUT {ARTIFACTS}/{folder}/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + b"x" * 3_000_000)
        assert _becomes(lambda: _staged(home) == 1)

    assert _becomes(lambda: _staged(home) == 0)
    assert get_artifact_repository(f"mlflow-artifacts:/{folder}").list_artifacts() == []


def _staged(home: Path) -> int:
    return len(list(home.glob("blobs/staging/*")))


def _becomes(condition: Callable[[], bool], *, timeout_seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("source", ["/etc", "file:///etc/passwd", "http://127.0.0.1:1/x", "s3://bucket/x"])
def test_a_foreign_source_is_refused(client: MlflowClient, name: str, source: str) -> None:
    with pytest.raises(MlflowException, match="Invalid value for 'source': expected mlflow-artifacts:/"):
        client.create_model_version(name, source)
