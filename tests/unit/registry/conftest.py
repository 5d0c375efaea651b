from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from servery.db.engine import migrate, open_database
from servery.registry.artifacts.local import LocalArtifactStore
from servery.registry.service import Registry

MLMODEL = b"""flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.11.7
  sklearn:
    pickled_model: model.pkl
"""


class TickingClock:
    """Each look at it is a second later than the one before."""

    def __init__(self) -> None:
        self._now_ms = 1_700_000_000_000

    def now_ms(self) -> int:
        self._now_ms += 1_000
        return self._now_ms

    def monotonic(self) -> float:
        return self._now_ms / 1_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def engine(home: Path) -> Iterator[Engine]:
    engine = open_database(home)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def registry(home: Path, engine: Engine) -> Registry:
    return Registry(engine, LocalArtifactStore(home), TickingClock())


@pytest.fixture
def upload(registry: Registry) -> Callable[..., str]:
    """Uploads a small package with these weights and tells its source."""

    def upload(folder: str = "uploads/1", weights: bytes = b"weights") -> str:
        registry.put_artifact(f"{folder}/MLmodel", [MLMODEL])
        registry.put_artifact(f"{folder}/model.pkl", [weights])
        return f"mlflow-artifacts:/{folder}"

    return upload
