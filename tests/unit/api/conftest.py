from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from servery.api.app import create_app
from servery.api.server import build_services
from servery.api.services import Services
from servery.clock import SystemClock
from servery.config import ControlConfig

MLMODEL = b"""flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.11.7
  sklearn:
    pickled_model: model.pkl
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: null
  params: null
"""
ADDRESS = "http://127.0.0.1:8400"
MLFLOW = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return build_services(ControlConfig(home=tmp_path, artifact_bytes_max=1 << 20), SystemClock())


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(create_app(services), base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def source(client: TestClient) -> str:
    """Where a small package has been uploaded."""
    client.put(f"{ARTIFACTS}/uploads/1/MLmodel", content=MLMODEL).raise_for_status()
    client.put(f"{ARTIFACTS}/uploads/1/model.pkl", content=b"weights").raise_for_status()
    return "mlflow-artifacts:/uploads/1"


@pytest.fixture
def version(client: TestClient, source: str) -> dict[str, str]:
    """Version 1 of the model spam."""
    client.post(f"{MLFLOW}/registered-models/create", json={"name": "spam"}).raise_for_status()
    created = client.post(f"{MLFLOW}/model-versions/create", json={"name": "spam", "source": source})
    message: dict[str, str] = created.raise_for_status().json()["model_version"]
    return message
