"""An import between two real servers: started, killed, and both sides looked at."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.tracking import MlflowClient

import servery
from tests.anywhere.places import ROWS, Place
from tests.servers import answers, free_port, servery_process, wait_until

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Target:
    """A control plane that models are imported into, and the home of the client that imports."""

    url: str
    home: Path
    client_home: Path

    def command(self, *arguments: str, environment: Mapping[str, str]) -> Done:
        return subprocess.run(
            self._call(arguments), env=self._env(environment), capture_output=True, text=True, timeout=110, check=False
        )

    def start(self, *arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._call(arguments),
            env=self._env(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def report(self, *arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
        """The JSON of an import that was to succeed."""
        done = self.command("import", *arguments, "--json", environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def rows(self) -> list[str]:
        """Everything in its database, as SQL."""
        with sqlite3.connect(self.home / "servery.db") as database:
            return list(database.iterdump())

    def count_versions(self) -> int:
        with sqlite3.connect(self.home / "servery.db", timeout=20) as database:
            return int(database.execute("SELECT count(*) FROM model_versions").fetchone()[0])

    def _call(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "servery.cli.main", *arguments]

    def _env(self, environment: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "AWS_"))}
        return {**kept, "SERVERY_SERVER": self.url, "SERVERY_HOME": str(self.client_home), **environment}


@contextmanager
def target_server(folder: Path) -> Iterator[Target]:
    """``servery control`` with an empty registry, ready."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    arguments = ("control", "--port", str(port), "--home", str(folder / "home"))
    with servery_process(*arguments, port=port, log=folder / "control.log") as server:
        wait_until(lambda: answers(f"{server.url}/health"), "servery control is ready")
        yield Target(server.url, folder / "home", folder / "client")


def original_answers(client: MlflowClient) -> dict[tuple[str, int], list[float]]:
    """What a stock client gets from each version of the MLflow server."""
    found = {}
    for model in client.search_registered_models():
        for version in client.search_model_versions(f"name='{model.name}'"):
            loaded = mlflow.pyfunc.load_model(f"models:/{model.name}/{version.version}")
            found[model.name, int(version.version)] = np.asarray(loaded.predict(ROWS)).tolist()
    return found


def imported_answers(target: Target) -> dict[tuple[str, int], list[float]]:
    """The same of the Servery server, each package loaded by Servery's own code."""
    found = {}
    with servery.Client(target.url) as client:
        for model in client.models():
            for version in client.versions(model.name):
                loaded = servery.load_model(version.uri, server=target.url, home=target.client_home)
                found[model.name, version.version] = np.asarray(loaded.predict(ROWS)).tolist()
    return found


def differences(client: MlflowClient, target: Target, place: Place) -> list[str]:
    """One sentence for everything of the MLflow server that the Servery server does not have the same."""
    found: list[str] = []

    def compare(what: str, there: object, here: object) -> None:
        if there != here:
            found.append(f"{what}: {there!r} there, {here!r} here")

    with servery.Client(target.url) as ours:
        for model in client.search_registered_models():
            here = ours.model(model.name)
            aliases = {alias: int(number) for alias, number in model.aliases.items()}
            compare(f"{model.name} aliases", aliases, dict(here.aliases))
            compare(f"{model.name} tags", dict(model.tags), dict(here.tags))
            compare(f"{model.name} description", model.description or "", here.description)
            compare(f"{model.name} created", model.creation_timestamp, here.created_at_ms)
            there_all = client.search_model_versions(f"name='{model.name}'")
            numbers = sorted(int(version.version) for version in there_all)
            compare(f"{model.name} versions", numbers, [version.version for version in ours.versions(model.name)])
            for there in there_all:
                _compare_version(compare, client, there, ours)
    return found


def _compare_version(compare: Any, client: MlflowClient, there: Any, ours: servery.Client) -> None:
    here = ours.version(there.name, int(there.version))
    what = f"{there.name}/{there.version}"
    compare(f"{what} tags", dict(there.tags), {k: v for k, v in here.tags.items() if k != "mlflow.stage"})
    compare(f"{what} description", there.description or "", here.description)
    compare(f"{what} created", there.creation_timestamp, here.created_at_ms)
    compare(f"{what} run", there.run_id, here.run_id)
    run, lineage = client.get_run(there.run_id), dict(here.lineage or {})
    kept = lineage["run"]
    compare(f"{what} run's name", run.info.run_name, kept["name"])
    compare(f"{what} run's params", run.data.params, kept["params"])
    compare(f"{what} run's metrics", run.data.metrics, {one["key"]: one["value"] for one in kept["metrics"]})
    compare(f"{what} run's tags", run.data.tags, kept["tags"])
    compare(f"{what} commit", run.data.tags["mlflow.source.git.commit"], kept["git_commit"])
    compare(f"{what} experiment", "kitchen", kept["experiment"])
    compare(f"{what} times", (run.info.start_time, run.info.end_time), (kept["started_at_ms"], kept["ended_at_ms"]))
    model_id = there.source.removeprefix("models:/") if there.source.startswith("models:/m-") else None
    compare(f"{what} logged model", model_id, (lineage["logged_model"] or {}).get("model_id"))
