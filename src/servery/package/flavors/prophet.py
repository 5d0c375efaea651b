"""Prophet's forecasters, as ``mlflow.prophet`` saves them: the text of its JSON form, itself written as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.prophet import predictor_of

_MODEL_FILE = "model.pr"


def takes(model: Any) -> bool:
    return is_a(model, "prophet.forecaster.Prophet")


def save(model: Any, folder: Path) -> Saved:
    import prophet
    from prophet.serialize import model_to_json

    try:
        text = model_to_json(model)
    except ValueError as error:
        raise InvalidInput("model", expected="a Prophet that has been fitted", got=str(error)) from error
    (folder / _MODEL_FILE).write_text(json.dumps(text), encoding="utf-8")
    entries: dict[str, dict[str, Any]] = {
        "python_function": {"data": _MODEL_FILE, "loader_module": "mlflow.prophet"},
        "prophet": {
            "code": None,
            "data": _MODEL_FILE,
            "model_type": type(model).__name__,
            "prophet_version": prophet.__version__,
        },
    }
    return Saved("prophet", entries, predictor_of(model))
