"""Where a version of an MLflow server came from, as one JSON document: its run and its logged model.

    {"source": {"server", "version", "artifacts", "stage"},
     "run": {"run_id", "name", "experiment_id", "experiment", "status", "started_at_ms", "ended_at_ms", "user",
             "git_commit", "params": {}, "metrics": [{"key", "value", "step", "at_ms"}], "tags": {}},
     "logged_model": {"model_id", "name", "type", "run_id", "params": {}, "metrics": []},
     "notes": ["…"]}

``run`` and ``logged_model`` are null where there is none; a metric has its latest value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from servery.client.mlflow_server import MlflowServer, SourceVersion, pairs
from servery.errors import NotFound

LENGTH_MAX = 250_000
"""Characters of JSON: a little less than a Servery server keeps."""
_TEXT_LENGTHS = (5_000, 500, 100)
"""What texts are cut to, one after the other, until the whole fits."""
_ENTRIES_MAX = 300


class LineageReader:
    """Reads lineage from one server. May be used from several threads."""

    def __init__(self, server: MlflowServer) -> None:
        self._server = server
        self._experiments: dict[str, str] = {}

    def read(self, version: SourceVersion, artifacts: str) -> dict[str, Any]:
        """``artifacts`` is where the version's files lie. What is gone from the server is noted, and no error."""
        notes: list[str] = []
        source = {"server": self._server.registry.server, "version": version.number, "artifacts": artifacts}
        document = {
            "source": source | ({"stage": version.stage} if version.stage else {}),
            "run": self._unless_gone(self._run, version.run_id, "run", notes),
            "logged_model": self._unless_gone(self._logged_model, version.model_id, "logged model", notes),
            "notes": notes,
        }
        return bounded(document)

    def _unless_gone(
        self, read: Callable[[str], dict[str, Any]], key: str | None, what: str, notes: list[str]
    ) -> dict[str, Any] | None:
        if not key:
            return None
        try:
            return read(key)
        except NotFound:
            notes.append(f"The {what} {key} was no longer there.")
            return None

    def _run(self, run_id: str) -> dict[str, Any]:
        run = self._server.run(run_id)
        info, data = run.get("info") or {}, run.get("data") or {}
        tags = pairs(data.get("tags"))
        experiment_id = str(info.get("experiment_id") or "")
        return {
            "run_id": run_id,
            "name": info.get("run_name") or tags.get("mlflow.runName"),
            "experiment_id": experiment_id,
            "experiment": self._experiment(experiment_id),
            "status": info.get("status"),
            "started_at_ms": info.get("start_time"),
            "ended_at_ms": info.get("end_time"),
            "user": info.get("user_id") or tags.get("mlflow.user"),
            "git_commit": tags.get("mlflow.source.git.commit"),
            "params": pairs(data.get("params")),
            "metrics": _metrics(data),
            "tags": tags,
        }

    def _experiment(self, experiment_id: str) -> str | None:
        if experiment_id not in self._experiments:
            try:
                self._experiments[experiment_id] = str(self._server.experiment(experiment_id).get("name") or "")
            except NotFound:
                self._experiments[experiment_id] = ""
        return self._experiments[experiment_id] or None

    def _logged_model(self, model_id: str) -> dict[str, Any]:
        model = self._server.logged_model(model_id)
        info, data = model.get("info") or {}, model.get("data") or {}
        return {
            "model_id": model_id,
            "name": info.get("name"),
            "type": info.get("model_type") or None,
            "run_id": info.get("source_run_id"),
            "params": pairs(data.get("params")),
            "metrics": _metrics(data),
        }


def _metrics(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "key": metric.get("key"),
            "value": _finite(metric.get("value")),
            "step": metric.get("step", 0),
            "at_ms": metric.get("timestamp"),
        }
        for metric in data.get("metrics") or ()
    ]


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity; they are written as texts."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def bounded(document: dict[str, Any]) -> dict[str, Any]:
    """The document, cut where it is longer than :data:`LENGTH_MAX`, with a note that says so."""
    if _length(document) <= LENGTH_MAX:
        return document
    for length in _TEXT_LENGTHS:
        shorter: dict[str, Any] = _cut(document, length, entries=None)
        shorter["notes"].append(f"Texts are cut to {length} characters: the whole was too long.")
        if _length(shorter) <= LENGTH_MAX:
            return shorter
    least: dict[str, Any] = _cut(document, _TEXT_LENGTHS[-1], entries=_ENTRIES_MAX)
    note = f"Only {_ENTRIES_MAX} params, metrics and tags each are kept, with {_TEXT_LENGTHS[-1]} characters each."
    least["notes"].append(note)
    return least


def _cut(value: Any, length: int, *, entries: int | None) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[: length - 1] + "…"
    if isinstance(value, dict):
        return {key: _cut(item, length, entries=entries) for key, item in list(value.items())[:entries]}
    if isinstance(value, list):
        return [_cut(item, length, entries=entries) for item in value[:entries]]
    return value


def _length(document: dict[str, Any]) -> int:
    return len(json.dumps(document))
