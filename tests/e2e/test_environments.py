"""Versions that pin different releases, behind one endpoint, each in its own environment."""

from __future__ import annotations

import json
import os
import pickle
import platform
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import servery
from servery.client import DeployFailed
from servery.errors import EnvironmentFailed
from servery.workers.environments.interpreters import find_interpreter
from tests.servers import Both, both_planes, serving

HERE = platform.python_version()
SECRETS = {"AWS_SECRET_ACCESS_KEY": "hunter2-a", "MLFLOW_TRACKING_TOKEN": "hunter2-b", "MY_PASSWORD": "hunter2-c"}
ONLINE = {"UV_OFFLINE": "0"}
INPUTS = '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 1]}}]'
BODY = {"inputs": [[1.0]]}
CODE = """
import os, platform, sklearn

class Witness:
    def predict(self, rows):
        seen = [sklearn.__version__, platform.python_version(), dict(os.environ)]
        return [seen for _ in rows]
"""


def save_witness(folder: Path, release: str, python: str = HERE) -> Path:
    """A model in the form of stock mlflow that tells in which environment it runs."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "witness.py").write_text(CODE)
    module = types.ModuleType("witness")
    module.Witness = type("Witness", (), {"__module__": "witness"})  # type: ignore[attr-defined]
    sys.modules["witness"] = module
    (folder / "model.pkl").write_bytes(pickle.dumps(module.Witness(), protocol=4))
    del sys.modules["witness"]
    (folder / "requirements.txt").write_text(f"scikit-learn=={release}\n")
    (folder / "python_env.yaml").write_text(f"python: {python}\ndependencies:\n- -r requirements.txt\n")
    loader: dict[str, Any] = {"loader_module": "mlflow.sklearn", "model_path": "model.pkl", "code": "code"}
    flavors = {
        "python_function": loader | {"env": {"virtualenv": "python_env.yaml"}},
        "sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle", "code": "code"},
    }
    signature = {"inputs": INPUTS, "outputs": None, "params": None}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors, "signature": signature}))
    return folder


def other_python() -> str | None:
    """Another Python version of this machine, if it has one."""
    for minor in ("3.12", "3.10", "3.13", "3.11"):
        if not HERE.startswith(f"{minor}."):
            try:
                return find_interpreter(minor, path=os.environ["PATH"], home=Path.home())[1]
            except EnvironmentFailed:
                continue
    return None


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with both_planes(tmp_path_factory.mktemp("planes") / "home", variables=ONLINE | SECRETS) as running:
        yield running


@pytest.fixture
def client(planes: Both) -> Iterator[servery.Client]:
    with servery.Client(planes.up.url) as made:
        yield made


def ask(planes: Both, endpoint: str) -> tuple[str, list[Any]]:
    answer = httpx.post(f"{planes.gateway_url}/endpoints/{endpoint}/invocations", json=BODY, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Model-Version"], answer.json()["predictions"][0]


@pytest.mark.timeout(300)
def test_releases_and_pythons_side_by_side_behind_one_endpoint(
    planes: Both, client: servery.Client, tmp_path: Path
) -> None:
    wanted = {"skies/1": ("1.5.2", HERE), "skies/2": ("1.4.2", HERE)}
    if (python := other_python()) is not None:
        wanted["skies/3"] = ("1.5.2", python)
    for label, (release, python) in wanted.items():
        client.register(save_witness(tmp_path / label, release, python), "skies")
    shares = [34, 33, 33] if len(wanted) == 3 else [50, 50]
    uris = [f"models:/{label}" for label in wanted]
    client.deploy("skies", list(zip(uris, shares, strict=True)), environment_vars={"GREETING": "hello"})
    seen = [ask(planes, "skies") for _ in range(60)]
    assert {label: (release, python) for label, (release, python, _) in seen} == wanted
    for _, (_, _, variables) in seen:
        assert variables["GREETING"] == "hello"
        assert not set(SECRETS) & variables.keys()


def test_how_an_environment_was_made_is_told_with_the_version(
    planes: Both, client: servery.Client, tmp_path: Path
) -> None:
    client.register(save_witness(tmp_path / "told", "1.5.2"), "told")
    client.deploy("told", "models:/told/1")
    [log] = client.build_logs("told", 1)
    assert "it asks for 'scikit-learn==1.5.2'" in log.text
    assert "+ scikit-learn==1.5.2" in log.text


def test_a_version_whose_environment_cannot_be_made_takes_over_nothing(
    planes: Both, client: servery.Client, tmp_path: Path
) -> None:
    client.register(save_witness(tmp_path / "good", "1.5.2"), "stays")
    client.register(save_witness(tmp_path / "bad", "99.1"), "stays")
    client.deploy("stays", "models:/stays/1")
    with pytest.raises(DeployFailed, match=r"there is no version of scikit-learn==99\.1"):
        client.deploy("stays", "models:/stays/2")
    assert ask(planes, "stays")[0] == "stays/1"
    [log] = client.build_logs("stays", 2)
    assert "No solution found" in log.text


def test_variables_of_an_endpoint_are_its_own(planes: Both, client: servery.Client, tmp_path: Path) -> None:
    client.register(save_witness(tmp_path / "own", "1.5.2"), "own")
    client.deploy("loud", "models:/own/1", environment_vars={"VOICE": "loud"})
    client.deploy("soft", "models:/own/1", environment_vars={"VOICE": "soft"})
    assert [ask(planes, name)[1][2]["VOICE"] for name in ("loud", "soft")] == ["loud", "soft"]


def test_no_secret_of_the_server_is_written_anywhere(planes: Both) -> None:
    written = [file for file in planes.home.rglob("*") if file.is_file() and "site-packages" not in file.parts]
    written.append(planes.up.log)
    assert len(written) > 10
    assert [file for file in written if b"hunter2" in file.read_bytes()] == []


def test_one_model_is_served_in_its_own_environment_too(tmp_path: Path, planes: Both) -> None:
    package = save_witness(tmp_path / "alone", "1.5.2")
    shared = planes.home / "environments"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "environments").symlink_to(shared)
    with serving(package, tmp_path / "home", variables=ONLINE) as server:
        answer = httpx.post(f"{server.url}/invocations", json=BODY, timeout=60)
    assert answer.json()["predictions"][0][0] == "1.5.2"
    assert json.loads(next(shared.glob("*/environment.json")).read_text())["packages"]
