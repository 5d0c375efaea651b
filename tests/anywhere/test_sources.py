"""A model is taken from wherever it lies: an MLflow server, an object store, a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pytest
from mlflow.tracking import MlflowClient

import servery
from servery.client.load import local_package
from servery.errors import ConfigInvalid, NotFound, PackageInvalid, RemoteError
from tests.anywhere.both_sides import Target
from tests.anywhere.places import BUCKET, ROWS, SECRET, Place, client_of, make_model
from tests.servers import free_port, servery_process, wait_until

pytestmark = pytest.mark.timeout(300)
Store = tuple[Path, Mapping[str, str]]


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Mapping[str, str]], None]:
    """Sets this process's environment to nothing but what a test gives, with a home of its own."""
    for name in ("SERVERY_SERVER", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERVERY_HOME", str(tmp_path / "home"))

    def surround(environment: Mapping[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return surround


def stored(store: Store, name: str, seed: int) -> str:
    """A package in the store; its address."""
    folder = store[0] / BUCKET / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    mlflow.sklearn.save_model(
        make_model(seed), folder, pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
    )
    return f"s3://{BUCKET}/models/{name}"


def answer(uri: str) -> list[float]:
    return np.asarray(servery.load_model(uri).predict(ROWS)).tolist()  # type: ignore[no-any-return]


def expected(seed: int) -> list[float]:
    return make_model(seed).predict(ROWS).tolist()  # type: ignore[no-any-return]


def version_of(client: MlflowClient, number: int) -> Any:
    return client.get_model_version("spam", str(number))


def test_everything_that_an_mlflow_server_names_is_loaded(
    place: Place, surroundings: Callable[[Mapping[str, str]], None]
) -> None:
    surroundings(place.environment)
    with client_of(place) as client:
        logged, of_run = version_of(client, 1), version_of(client, 2)
        files = client.get_model_version_download_uri("spam", "1")
    assert answer("models:/spam/2") == expected(2)
    assert answer("models:/spam@champion") == expected(3)
    assert answer(logged.source) == expected(1), "models:/m-…"
    assert answer(f"runs:/{logged.run_id}/model") == expected(1), "a logged model, by its run"
    assert answer(f"runs:/{of_run.run_id}/model") == expected(2), "an artifact of a run"
    assert answer(files) == expected(1), "mlflow-artifacts:/…"
    folder, version = local_package(logged.source)
    assert version is not None
    assert (version.name, version.version, version.run_id, version.digest) == ("model", 1, logged.run_id, folder.name)


def test_what_is_not_there_is_said(place: Place, surroundings: Callable[[Mapping[str, str]], None]) -> None:
    with pytest.raises(ConfigInvalid, match="set MLFLOW_TRACKING_URI"):
        local_package("runs:/0123/model")
    surroundings(place.environment)
    with client_of(place) as client:
        run_id = version_of(client, 2).run_id
    for uri, error, words in (
        ("models:/spam/9", NotFound, "version=9"),
        ("models:/spam@nobody", RemoteError, "alias nobody not found"),
        ("runs:/0123/model", NotFound, "Run with id=0123 not found"),
        (f"runs:/{run_id}/nothing", PackageInvalid, "it has no MLmodel file"),
        ("models:/m-0123", NotFound, "m-0123"),
        ("mlflow-artifacts://other.example:80/1/x", RemoteError, "cannot be read from here"),
    ):
        with pytest.raises(error, match=words):
            local_package(uri)


def test_a_named_servery_server_is_asked_for_registered_models(
    place: Place, shared: Target, surroundings: Callable[[Mapping[str, str]], None]
) -> None:
    surroundings(place.environment)
    with pytest.raises(NotFound, match="spam"):
        local_package("models:/spam/1", server=shared.url)
    surroundings({"SERVERY_SERVER": shared.url})
    with pytest.raises(NotFound, match="spam"):
        local_package("models:/spam/1")


def test_an_object_store_s_model_is_fetched_once_for_each_of_its_contents(
    store: Store, surroundings: Callable[[Mapping[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from servery.client.object_store import ObjectFolder

    surroundings(store[1])
    fetched: list[str] = []
    fetch = ObjectFolder.fetch

    def counted(self: ObjectFolder, file: Any, *more: Any) -> int:
        fetched.append(file.path)
        return fetch(self, file, *more)

    monkeypatch.setattr(ObjectFolder, "fetch", counted)
    uri = stored(store, "moving", 3)
    assert (answer(uri), len(fetched) > 3) == (expected(3), True)
    fetched.clear()
    assert (answer(uri + "/"), fetched) == (expected(3), [])
    stored(store, "moving", 4)
    assert answer(uri) == expected(4)
    assert len(fetched) > 3


def test_an_object_store_that_refuses_says_what_to_set_and_no_secret(
    store: Store, surroundings: Callable[[Mapping[str, str]], None]
) -> None:
    uri = stored(store, "shut", 3)
    surroundings({**store[1], "AWS_ACCESS_KEY_ID": "nobody", "AWS_PAGER": "less"})
    with pytest.raises(
        RemoteError, match=r"s3://kitchen/models/shut \(InvalidAccessKeyId\); check .*AWS_ACCESS_KEY_ID"
    ) as raised:
        local_package(uri)
    assert SECRET not in str(raised.value)
    surroundings(store[1])
    with pytest.raises(RemoteError, match=r"NoSuchBucket"):
        local_package("s3://no-such-bucket/x")
    with pytest.raises(PackageInvalid, match="There is no model at s3://kitchen/models/none"):
        local_package("s3://kitchen/models/none")


def test_serve_register_and_predict_take_them(store: Store, place: Place, shared: Target) -> None:
    uri = stored(store, "served", 5)
    environment = {**store[1], **place.environment}
    for source in (uri, f"file://{store[0] / BUCKET}/models/served", "models:/spam@first"):
        done = shared.command("register", source, "--name", "taken", "--json", environment=environment)
        # The server was named, so that 'models:/…' is its own.
        assert done.returncode == (1 if source.startswith("models:") else 0), done.stderr
    done = shared.command("register", "runs:/0123/model", "--name", "taken", environment=environment)
    assert done.stderr.endswith("Run with id=0123 not found\n")
    done = shared.command("predict", uri, json.dumps(ROWS.tolist()), environment=environment)
    assert json.loads(done.stdout) == expected(5), done.stderr
    done = shared.command("register", "models:/taken/1", "--name", "copied", environment={})
    assert "Registered models:/copied/1" in done.stdout, done.stderr

    port = free_port()
    arguments = ("serve", uri, "-p", str(port), "--home", str(shared.client_home))
    log = shared.client_home.parent / "serve.log"
    with servery_process(*arguments, port=port, log=log, environment=dict(environment)) as server:
        wait_until(server.is_ready, "servery serve is ready", timeout_seconds=90)
        said = httpx.post(f"{server.url}/invocations", json={"inputs": ROWS.tolist()}, timeout=30)
        assert said.json() == {"predictions": expected(5)}
        assert said.headers["X-Model-Version"] == "served/1"
