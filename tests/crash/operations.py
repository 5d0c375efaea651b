"""What the campaign interrupts: each operation as steps, and each step is acknowledged when it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from servery.db.engine import migrate, open_database
from servery.names import Alias, ModelName, Version
from servery.registry.artifacts.local import LocalArtifactStore
from servery.registry.artifacts.store import ArtifactStore
from servery.registry.service import Registry

MLMODEL = b"""flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.11.7
  sklearn:
    pickled_model: model.pkl
"""
SPAM = ModelName("spam")
CHAMPION = Alias("champion")
Step = Callable[[], object]


class FixedClock:
    """Always the same time, so that the same steps always leave the same rows."""

    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic(self) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Operation:
    """``open`` does what goes before, untraced, and gives the steps; ``starts_empty`` begins without a home."""

    name: str
    open: Callable[[Path], list[Step]]
    starts_empty: bool = False


def open_registry(home: Path, artifacts: ArtifactStore | None = None) -> Registry:
    registry = Registry(open_database(home), artifacts or LocalArtifactStore(home), FixedClock())
    registry.search_models()
    return registry


def on_registry(name: str, steps: Callable[[Registry], list[Step]]) -> Operation:
    return Operation(name, lambda home: steps(open_registry(home)))


def prepare_home(home: Path) -> None:
    """A home as it is in use: two models, versions, aliases and tags."""
    home.mkdir(mode=0o700)
    engine = open_database(home)
    migrate(engine)
    registry = Registry(engine, LocalArtifactStore(home), FixedClock())
    for name in (SPAM, ModelName("ham")):
        registry.create_model(name, tags={"team": "mail"})
        for number in (1, 2):
            for step in _uploads(registry, f"uploads/{name}-{number}", f"{name} {number}".encode()):
                step()
            registry.create_version(name, f"mlflow-artifacts:/uploads/{name}-{number}", tags={"seed": str(number)})
        registry.set_alias(name, CHAMPION, Version(1))
    engine.dispose()


def _uploads(registry: Registry, folder: str, weights: bytes) -> list[Step]:
    chunks = [weights * 1_000] * 3
    return [
        partial(registry.put_artifact, f"{folder}/MLmodel", [MLMODEL]),
        partial(registry.put_artifact, f"{folder}/model.pkl", chunks),
        partial(registry.put_artifact, f"{folder}/requirements.txt", [b"scikit-learn\n"]),
    ]


def _first_start(home: Path) -> list[Step]:
    return [lambda: migrate(open_database(home))]


def _stop(home: Path) -> list[Step]:
    """The last connection that closes moves the log into the database and removes it."""
    engine = open_database(home)
    registry = Registry(engine, LocalArtifactStore(home), FixedClock())
    return [partial(registry.create_model, ModelName("last")), engine.dispose]


def _register(registry: Registry) -> list[Step]:
    create = partial(registry.create_version, SPAM, "mlflow-artifacts:/uploads/new", tags={"seed": "3"})
    return [*_uploads(registry, "uploads/new", b"new"), create]


def _import(registry: Registry) -> list[Step]:
    create = partial(
        registry.import_version,
        SPAM,
        "mlflow-artifacts:/uploads/new",
        number=Version(7),
        created_at_ms=1_600_000_000_000,
        tags={"seed": "7"},
        lineage={"run": {"run_id": "r"}},
    )
    return [*_uploads(registry, "uploads/new", b"new"), create, partial(registry.delete_version, SPAM, Version(7))]


OPERATIONS = (
    Operation("first start", _first_start, starts_empty=True),
    on_registry("create model", lambda r: [partial(r.create_model, ModelName("new"), tags={"a": "1", "b": "2"})]),
    on_registry("register", _register),
    on_registry("import version", _import),
    on_registry("copy version", lambda r: [partial(r.create_version, ModelName("ham"), "models:/spam@champion")]),
    on_registry("overwrite file", lambda r: [partial(r.put_artifact, "uploads/spam-1/model.pkl", [b"other"])]),
    on_registry("delete files", lambda r: [partial(r.delete_artifacts, "uploads/spam-1")]),
    on_registry("set alias", lambda r: [partial(r.set_alias, SPAM, CHAMPION, Version(2))]),
    on_registry("delete alias", lambda r: [partial(r.delete_alias, SPAM, CHAMPION)]),
    on_registry(
        "tag",
        lambda r: [
            partial(r.set_model_tag, SPAM, key="team", value="search"),
            partial(r.set_version_tag, SPAM, Version(1), key="score", value="0.9"),
            partial(r.delete_version_tag, SPAM, Version(1), key="seed"),
        ],
    ),
    on_registry("delete version", lambda r: [partial(r.delete_version, SPAM, Version(1))]),
    on_registry("rename", lambda r: [partial(r.rename_model, SPAM, new_name=ModelName("eggs"))]),
    Operation("stop", _stop),
    on_registry("delete model", lambda r: [partial(r.delete_model, SPAM)]),
)
