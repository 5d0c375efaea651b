from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.anywhere.both_sides import Target, target_server
from tests.anywhere.places import Place, client_of, fill, mlflow_server, s3_server


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An MLflow server with two models of three versions."""
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder / "server") as running:
        with client_of(running) as client:
            fill(client, ["spam", "ham eggs"], 3, folder)
        yield running


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """An S3 server's folder, and what its clients have in their environment."""
    folder = tmp_path_factory.mktemp("store") / "s3"
    with s3_server(folder) as environment:
        yield folder, environment


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A target for tests that leave each other's models alone."""
    with target_server(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    with target_server(tmp_path / "target") as running:
        yield running
