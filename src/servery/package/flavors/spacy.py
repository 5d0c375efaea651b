"""spaCy pipelines with a text categoriser, as ``mlflow.spacy`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.spacy import predictor_of

_MODEL_FOLDER = "model.spacy"


def takes(model: Any) -> bool:
    return is_a(model, "spacy.language.Language")


def save(model: Any, folder: Path) -> Saved:
    import spacy

    # mlflow predicts with no other pipelines, either: it would not say what they answer.
    if not any(isinstance(component, spacy.pipeline.TextCategorizer) for _, component in model.pipeline):
        names = ", ".join(model.pipe_names) or "nothing"
        raise InvalidInput("model", expected="a spaCy pipeline with a text categoriser", got=f"one with {names}")
    model.to_disk(folder / _MODEL_FOLDER)
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": _MODEL_FOLDER, "loader_module": "mlflow.spacy"},
        "spacy": {"code": None, "data": _MODEL_FOLDER, "spacy_version": spacy.__version__},
    }
    return Saved("spacy", entries, predictor_of(model), takes_lists=False)
