"""Where models come from: a real MLflow server and a real S3 server, started and filled as their users do it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LinearRegression

from tests.servers import answers, free_port, wait_until

ROWS = np.array([[0.5, 1.0], [2.0, -3.0], [4.0, 0.25]])
"""What every model is asked."""
PASSWORD = "correct-horse-battery"
USER = "admin"
BUCKET, KEY_ID, SECRET = "kitchen", "key-of-tests", "secret-of-tests"
_AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = {user}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@dataclass(frozen=True, slots=True)
class Place:
    """An MLflow server: its address, and what a client of it has in its environment."""

    url: str
    environment: Mapping[str, str]


@contextmanager
def mlflow_server(folder: Path, *, password: bool = False) -> Iterator[Place]:
    """``mlflow server`` with its database and artifacts in ``folder``; with ``password``, for who has it only.

    One that asks for it hashes it at every request, and so is slow; two may have one folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    where = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files"))
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    credentials: dict[str, str] = {}
    if password:
        (folder / "auth.ini").write_text(_AUTH.format(folder=folder, user=USER, password=PASSWORD))
        environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "tests"}
        command += ["--app-name", "basic-auth"]
        credentials = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    url = f"http://127.0.0.1:{port}"
    with running([*command, *where], folder / f"mlflow-{port}.log", environment, ready=f"{url}/health"):
        yield Place(url, {"MLFLOW_TRACKING_URI": url, **credentials})


@contextmanager
def s3_server(folder: Path) -> Iterator[Mapping[str, str]]:
    """An S3 server whose bucket is ``folder/<BUCKET>``; what a client of it has in its environment."""
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    rclone = Path(sys.executable).parent / "rclone"
    command = [str(rclone), "serve", "s3", "--config", "", "--auth-key", f"{KEY_ID},{SECRET}", "--dir-cache-time", "0s"]
    command += ["--addr", f"127.0.0.1:{port}", str(folder)]
    with running(command, folder.parent / "s3.log", dict(os.environ), port=port):
        yield {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": url}


@contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str], *, ready: str = "", port: int = 0
) -> Iterator[None]:
    """A server process and its children, until the block ends; ready when it answers, or takes connections."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(ready) if ready else _listens(port)

        wait_until(is_ready, f"{command[0]} is ready: see {log}", timeout_seconds=90)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def client_of(place: Place) -> Iterator[MlflowClient]:
    """A stock client, and the fluent functions of ``mlflow``, at work on this server."""
    environment = {**place.environment, "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    before, variables = mlflow.get_tracking_uri(), {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    mlflow.set_tracking_uri(place.url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield MlflowClient(place.url)
    finally:
        mlflow.set_tracking_uri(before)
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def make_model(seed: int) -> Any:
    """A regression that no other seed makes."""
    rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    return LinearRegression().fit(rows, [seed, seed * 2.0 + 1, seed * 3.0 + 2])


def publish(client: MlflowClient, name: str, seed: int, scratch: Path) -> int:
    """Train in a run, log and register, the way of MLflow 3 for odd seeds and of MLflow 2 for even ones."""
    options = {"pip_requirements": ["scikit-learn"], "serialization_format": "cloudpickle"}
    tags = {"mlflow.source.git.commit": f"{seed:040x}", "who": "ada"}
    mlflow.set_experiment("kitchen")
    with mlflow.start_run(run_name=f"{name}-{seed}", tags=tags) as run:
        mlflow.log_params({"seed": seed, "depth": 3})
        mlflow.log_metric("accuracy", 0.5, step=1)
        mlflow.log_metric("accuracy", 0.75, step=2)
        if seed % 2:
            source = mlflow.sklearn.log_model(make_model(seed), name="model", **options).model_uri
        else:
            folder = scratch / f"{name}-{seed}"
            mlflow.sklearn.save_model(make_model(seed), folder, **options)
            mlflow.log_artifacts(str(folder), "model")
            shutil.rmtree(folder)
            source = f"runs:/{run.info.run_id}/model"
    return int(mlflow.register_model(source, name, tags={"seed": str(seed)}).version)


def fill(client: MlflowClient, names: list[str], versions: int, scratch: Path) -> None:
    """Models with versions, descriptions, tags and aliases: ``champion`` the newest, ``first`` the oldest."""
    for index, name in enumerate(names):
        client.create_registered_model(name, tags={"team": f"team of {name}"}, description=f"What {name} does.")
        for number in range(1, versions + 1):
            publish(client, name, 1000 * index + number, scratch)
            client.update_model_version(name, str(number), f"Version {number} of {name}.")
        client.set_registered_model_alias(name, "champion", str(versions))
        client.set_registered_model_alias(name, "first", "1")
