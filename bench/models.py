"""The workloads: a trained model, its package on disk, one request's body, and what must come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.wrk import Point
from servery.package import save_model

NAMES = ("frame", "array", "text")
_COLUMNS = 30
_TRAINING_ROWS = 2000
_CALM = ("invoice", "meeting", "report", "agenda", "quarter", "budget", "review", "schedule", "minutes", "project")
_LOUD = ("winner", "free", "prize", "urgent", "click", "offer", "cash", "bonus", "limited", "claim")
_PLAIN = ("the", "and", "your", "our", "this", "today", "please", "with", "for", "new", "about", "team", "week", "now")


@dataclass(frozen=True, slots=True)
class Workload:
    """One row a request. ``predict`` is the bare model on that row, ``predictions`` what it answers."""

    name: str
    title: str
    model: Any
    package: Path
    body: Path
    row: Any
    predict: Callable[[], Any]
    predictions: list[int]


def build(folder: Path) -> list[Workload]:
    """Train the models and write their packages and bodies under ``folder``; the same every time."""
    numbers = np.random.default_rng(7)
    rows = numbers.normal(size=(_TRAINING_ROWS, _COLUMNS))
    labels = (rows[:, :5].sum(axis=1) > 0).astype(np.int64)
    frame = pd.DataFrame(rows, columns=[f"feature_{number}" for number in range(_COLUMNS)])
    texts, kinds = _corpus(numbers)
    one = frame.iloc[:1]
    split = {"columns": list(frame.columns), "data": one.to_numpy().tolist()}
    numeric, text = "StandardScaler + LogisticRegression", "TfidfVectorizer + LogisticRegression"
    return [
        _workload(folder, "frame", f"{_COLUMNS} columns as dataframe_split, {numeric}",
                  _numeric().fit(frame, labels), one, {"dataframe_split": split}, example=one),
        _workload(folder, "array", f"{_COLUMNS} numbers as an array, {numeric}",
                  _numeric().fit(rows, labels), rows[:1], {"inputs": rows[:1].tolist()}, example=rows[:1]),
        _workload(folder, "text", f"one text, {text}",
                  make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, kinds),
                  texts[:1], {"inputs": texts[:1]}, example=None),
    ]  # fmt: skip


def measure_predict(workload: Workload, seconds: float) -> Point:
    """Call the bare model on one row, in this process, for ``seconds`` after a second of warming up."""
    _call(workload.predict, 1.0)
    took = _call(workload.predict, seconds)
    p50, p99 = np.percentile(took, [50, 99])
    return Point(0, len(took) / sum(took), float(p50) * 1e3, float(p99) * 1e3)


def _call(predict: Callable[[], Any], seconds: float) -> list[float]:
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        predict()
        took.append(time.perf_counter() - started)
    return took


def _numeric() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def _workload(
    folder: Path, name: str, title: str, model: Any, row: Any, request: dict[str, Any], *, example: Any
) -> Workload:
    package, body = folder / name, folder / f"{name}.json"
    save_model(model, package, input_example=example)
    body.write_bytes(orjson.dumps(request))
    predictions = [int(prediction) for prediction in model.predict(row)]
    return Workload(name, title, model, package, body, row, lambda: model.predict(row), predictions)


def _corpus(numbers: np.random.Generator) -> tuple[list[str], list[int]]:
    """Messages of forty words, half of them junk."""
    texts, kinds = [], []
    for number in range(_TRAINING_ROWS):
        words = [*numbers.choice(_LOUD if number % 2 else _CALM, 10), *numbers.choice(_PLAIN, 30)]
        texts.append(" ".join(words[index] for index in numbers.permutation(len(words))))
        kinds.append(number % 2)
    return texts, kinds
