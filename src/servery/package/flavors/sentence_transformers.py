"""Models of sentence-transformers, as ``mlflow.sentence_transformers`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.sentence_transformers import predictor_of

_FOLDER = "model.sentence_transformer"


def takes(model: Any) -> bool:
    return is_a(model, "sentence_transformers.SentenceTransformer")


def save(model: Any, folder: Path) -> Saved:
    import sentence_transformers

    model.save(str(folder / _FOLDER))
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": _FOLDER, "loader_module": "mlflow.sentence_transformers"},
        "sentence_transformers": {
            "code": None,
            "sentence_transformers_version": sentence_transformers.__version__,
            **_inner_model(model),
        },
    }
    return Saved("sentence_transformers", entries, predictor_of(model))


def _inner_model(model: Any) -> dict[str, str]:
    """The class and the name of the transformers model within, where there is one."""
    for module in model.modules():
        inner = getattr(module, "auto_model", None)
        if inner is not None:
            return {"pipeline_model_type": type(inner).__name__, "source_model_name": inner.name_or_path}
    return {}
