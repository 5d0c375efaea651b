"""The lineage of an imported version in a few lines; all of it is in the JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from servery.cli.output import time_text

_SHOWN = 8
"""How many params or metrics still read well."""


def lineage_fields(lineage: Mapping[str, Any] | None) -> dict[str, str]:
    """Names and values for ``print_fields``; empty for a version that was not imported."""
    found = lineage or {}
    source, run, model = (found.get(part) or {} for part in ("source", "run", "logged_model"))
    fields = {
        "Imported from": _joined(source.get("server"), f"version {source.get('version')}" if source else None),
        "Run": _joined(run.get("name"), run.get("run_id"), run.get("status"), _by(run)),
        "Experiment": _joined(run.get("experiment"), run.get("experiment_id")),
        "Commit": str(run.get("git_commit") or ""),
        "Logged model": _joined(model.get("name"), model.get("model_id")),
        "Logged params": _pairs({**(model.get("params") or {}), **(run.get("params") or {})}.items()),
        "Logged metrics": _pairs(_latest([*(run.get("metrics") or ()), *(model.get("metrics") or ())]).items()),
        "Note": " ".join(found.get("notes") or ()),
    }
    return {name: text for name, text in fields.items() if text}


def _by(run: Mapping[str, Any]) -> str | None:
    started = run.get("started_at_ms")
    when = time_text(int(started)) if started is not None else ""
    return _joined(f"by {run['user']}" if run.get("user") else None, when, between=" ") or None


def _latest(metrics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(metric.get("key")): metric.get("value") for metric in metrics}


def _pairs(pairs: Iterable[tuple[str, Any]]) -> str:
    texts = [f"{key}={value}" for key, value in pairs]
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _joined(*parts: object, between: str = ", ") -> str:
    return between.join(str(part) for part in parts if part)
