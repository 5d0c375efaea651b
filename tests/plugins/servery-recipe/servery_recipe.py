"""A flavor of another distribution: recipes, which tell what a dish costs, as JSON. Both sides of it in one module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Recipe:
    def __init__(self, **grams: float) -> None:
        self.grams = grams

    def predict(self, prices: Any) -> Any:
        return sum(prices[name] * grams for name, grams in self.grams.items()).tolist()


def takes(model: Any) -> bool:
    return isinstance(model, Recipe)


def save(model: Recipe, folder: Path) -> Any:
    from servery.package.flavors.saved import Saved

    (folder / "recipe.json").write_text(json.dumps(model.grams))
    entry = {"loader_module": "servery_recipe", "data": "recipe.json"}
    return Saved("servery_recipe", {"python_function": entry}, lambda data, _params: model.predict(data))


def load(directory: str, mlmodel: Any) -> Any:
    from servery_worker.flavors import Loaded

    model = _load_pyfunc(f"{directory}/{mlmodel['flavors']['python_function']['data']}")
    return Loaded(lambda data, _params: model.predict(data), row_wise=True)


def _load_pyfunc(path: str) -> Recipe:
    """For a stock mlflow, which imports the loader_module and calls this."""
    return Recipe(**json.loads(Path(path).read_text()))
