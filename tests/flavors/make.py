"""Train and save the models of one flavor, in the environment whose interpreter runs this.

``python -m tests.flavors.make FOLDER FLAVOR [CASE]`` makes for each case a folder with

    stock/       the package as stock mlflow saves it
    ours/        the same model as servery.save_model saves it, where it takes such models
    asked.json   {"bodies": [request body, …], "stock": [answer, …], "ours": [answer, …]}

An answer is what ``mlflow.pyfunc.load_model(…).predict`` gives, as mlflow's scoring server writes it. What went wrong
lies in ``failed.json``.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from tests.flavors.case import Case

_LLM_KEYS = frozenset({"messages", "prompt", "input"})


def main() -> None:
    warnings.simplefilter("ignore")
    folder, flavor, *names = sys.argv[1:]
    cases: list[Case] = importlib.import_module(f"tests.flavors.cases.{flavor}").cases()
    if not _reads_required():
        cases = [dataclasses.replace(case, ours=False) for case in cases]
    for number, case in enumerate(cases):
        if names and case.name not in names:
            continue
        place = Path(folder) / f"{number:02}"
        place.mkdir(parents=True)
        about = {"name": case.name, "ours": case.ours, "tolerance": case.tolerance}
        (place / "case.json").write_text(json.dumps(about))
        try:
            make(case, place, find_requirements=number == 0)
        except Exception:
            (place / "failed.json").write_text(json.dumps(traceback.format_exc()))


def _reads_required() -> bool:
    """Whether this mlflow knows a signature's ``required``, which Servery writes, as mlflow does since 2.10."""
    from mlflow.types import ColSpec

    return "required" in inspect.signature(ColSpec).parameters


def make(case: Case, place: Path, *, find_requirements: bool) -> None:
    """Save one case's packages, and ask stock mlflow for the answers of both.

    Finding a package's requirements loads it anew, which takes long with the larger frameworks: once is enough.
    """
    import servery

    model, inputs = case.model(), [_split(given) for given in case.inputs()]
    case.save(model, str(place / "stock"))
    asked: dict[str, Any] = {
        "bodies": [body_of(*given) for given in inputs],
        "stock": _answers(place / "stock", inputs),
    }
    if case.ours:
        data, params = inputs[0]
        example = data if params is None else (data, params)
        requirements: list[str] | None = None if find_requirements else []
        servery.save_model(model, place / "ours", input_example=example, requirements=requirements)
        asked["ours"] = _answers(place / "ours", inputs)
    (place / "asked.json").write_text(json.dumps(asked))


def _split(given: Any) -> tuple[Any, dict[str, Any] | None]:
    if isinstance(given, tuple):
        data, params = given
        return data, params
    return given, None


def body_of(data: Any, params: dict[str, Any] | None) -> Any:
    """The request that asks for the prediction of an input."""
    from servery_worker.codecs.json_text import dump_json

    if isinstance(data, dict) and not _LLM_KEYS.isdisjoint(data):
        return json.loads(dump_json({**data, **(params or {})}))
    if hasattr(data, "to_dict"):  # A frame.
        split = data.to_dict(orient="split")
        body: dict[str, Any] = {"dataframe_split": {"columns": split["columns"], "data": split["data"]}}
    else:
        body = {"inputs": data}
    return json.loads(dump_json(body if params is None else {**body, "params": params}))


def _answers(folder: Path, inputs: list[tuple[Any, dict[str, Any] | None]]) -> list[Any]:
    import io

    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

    model = mlflow.pyfunc.load_model(str(folder))
    answers = []
    for data, params in inputs:
        written = io.StringIO()
        output = model.predict(data) if params is None else model.predict(data, params=params)
        if isinstance(data, dict) and not _LLM_KEYS.isdisjoint(data):
            # mlflow writes these answers by a function of its own since 2.10.
            getattr(scoring_server, "unwrapped_predictions_to_json", json.dump)(output, written)
        else:
            scoring_server.predictions_to_json(output, written)
        answers.append(json.loads(written.getvalue()))
    return answers


if __name__ == "__main__":
    main()
