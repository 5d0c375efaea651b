"""save_model writes a whole package or none, and says in one sentence why none."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from servery.config import PackageSources
from servery.errors import AlreadyExists, InvalidInput, LoadFailed, PredictFailed, ServeryError
from servery.package import PythonModel, infer_signature, load_folder, save_model
from servery.package.manifest import manifest_of_folder
from servery.package.mlmodel import read_mlmodel
from servery.package.writer import write_package
from servery_worker.predictor import load, prove

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "n": [1, 2, 3, 4]})
LABELS = [0, 0, 1, 1]
TEXTS = ["win money now", "hello friend", "win a prize", "see you soon"]


class FixedClock:
    def now_ms(self) -> int:
        return 1_700_000_000_123

    def monotonic(self) -> float:
        return 0.0


def total(frame: Any) -> Any:
    return frame["a"] + frame["n"]


def save(model: Any, path: Path, **options: Any) -> dict[str, Any]:
    """Save without looking for requirements, which takes a process, and give the MLmodel's fields."""
    save_model(model, path, **{"requirements": ["pandas"], **options})
    return dict(read_mlmodel(path).fields)


def test_the_package_has_every_file_of_an_mlflow_model(tmp_path: Path) -> None:
    save(total, tmp_path / "model", input_example=FRAME[:2])
    assert [file.path for file in manifest_of_folder(tmp_path / "model").files] == [
        "MLmodel",
        "code/servery_python_model.py",
        "conda.yaml",
        "example_output.json",
        "input_example.json",
        "manifest.json",
        "model.pkl",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]


def test_the_mlmodel_file_says_what_mlflows_says(tmp_path: Path) -> None:
    write_package(
        LogisticRegression().fit(FRAME, LABELS),
        tmp_path / "model",
        input_example=FRAME[:2],
        signature=None,
        requirements=["pandas"],
        metadata={"owner": "me"},
        lock=False,
        sources=PackageSources(),
        clock=FixedClock(),
    )
    fields = dict(read_mlmodel(tmp_path / "model").fields)
    assert list(fields) == sorted(fields)
    assert fields["flavors"]["python_function"] == {
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.sklearn",
        "model_path": "model.pkl",
        "predict_fn": "predict",
        "python_version": ".".join(map(str, sys.version_info[:3])),
    }
    assert fields["flavors"]["sklearn"]["serialization_format"] == "cloudpickle"
    assert fields["utc_time_created"] == "2023-11-14 22:13:20.123000"
    assert len(fields["model_uuid"]) == 32
    assert fields["metadata"] == {"owner": "me"}
    assert fields["saved_input_example_info"] == {
        "artifact_path": "input_example.json",
        "pandas_orient": "split",
        "serving_input_path": "serving_input_example.json",
        "type": "dataframe",
    }
    assert fields["servery"] == {"example_output": "example_output.json"}
    assert json.loads(fields["signature"]["outputs"]) == [{"type": "long", "required": True}]
    written = ("model.pkl", "input_example.json", "serving_input_example.json")
    assert fields["model_size_bytes"] == sum((tmp_path / "model" / name).stat().st_size for name in written)


class Nothing(PythonModel):
    def predict(self, model_input: Any, params: Any = None) -> Any:
        return {"rows": len(model_input), "params": params}


SAVED: dict[str, tuple[Any, Any, Any]] = {
    "frame": (LogisticRegression().fit(FRAME, LABELS), FRAME[:2], {"predictions": [0, 0]}),
    "texts": (
        make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(TEXTS, [1, 0, 1, 0]),
        TEXTS[:3],
        {"predictions": [1, 0, 1]},
    ),
    "series": (
        make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(TEXTS, [1, 0, 1, 0]),
        pd.Series(TEXTS[:1], name="text"),
        {"predictions": [1]},
    ),
    "function": (total, FRAME[:2], {"predictions": [{"0": 2.0}, {"0": 4.0}]}),
    "params": (Nothing(), (FRAME[:2], {"k": 3}), {"predictions": {"rows": 2, "params": {"k": 3}}}),
    "no params": (Nothing(), FRAME[:2], {"predictions": {"rows": 2, "params": None}}),
    "chat": (Nothing(), {"messages": [{"role": "user", "content": "hello"}]}, {"rows": 1, "params": {}}),
    "dates": (
        lambda frame: frame["t"].dt.year.tolist(),
        pd.DataFrame({"t": pd.to_datetime(["2024-05-06"])}),
        {"predictions": [2024]},
    ),
    "gaps": (
        lambda frame: frame.isna().to_numpy().tolist(),
        pd.DataFrame({"x": [1.0, None], "s": ["a", None]}),
        {"predictions": [[False, False], [True, True]]},
    ),
    "tensors": (
        lambda inputs: inputs["x"] + inputs["y"],
        {"x": np.ones(2), "y": np.ones(2)},
        {"predictions": [2.0, 2.0]},
    ),
}


@pytest.mark.parametrize("case", SAVED)
def test_the_recorded_answer_proves_a_worker_that_loads_the_package(case: str, tmp_path: Path) -> None:
    model, example, answer = SAVED[case]
    fields = save(model, tmp_path / "model", input_example=example)
    assert json.loads((tmp_path / "model" / "example_output.json").read_text()) == answer
    assert prove(load(str(tmp_path / "model"), fields), str(tmp_path / "model"), fields) == "matched"


def test_without_an_example_nothing_is_said_of_inputs(tmp_path: Path) -> None:
    fields = save(total, tmp_path / "model")
    assert {"signature", "saved_input_example_info", "servery"}.isdisjoint(fields)
    assert load_folder(tmp_path / "model").predict(FRAME).tolist() == [2.0, 4.0, 6.0, 8.0]


def test_a_model_that_answers_differently_each_time_records_no_answer(tmp_path: Path) -> None:
    fields = save(lambda frame: [random.random() for _ in range(len(frame))], tmp_path / "model", input_example=FRAME)
    assert "servery" not in fields
    assert not (tmp_path / "model" / "example_output.json").exists()


def test_a_model_that_changes_its_input_leaves_the_callers_example_alone(tmp_path: Path) -> None:
    def spoil(frame: Any) -> Any:
        frame["a"] = 0.0
        return frame["a"]

    example = FRAME[:2].copy()
    save(spoil, tmp_path / "model", input_example=example)
    assert example["a"].tolist() == [1.0, 2.0]


@pytest.mark.filterwarnings("ignore:Hint. Inferred schema contains integer")
@pytest.mark.parametrize("given", [infer_signature, mlflow.models.infer_signature])
def test_a_given_signature_is_kept(given: Callable[..., Any], tmp_path: Path) -> None:
    signature = given(FRAME, pd.DataFrame({"sum": [1.0]}))
    save(total, tmp_path / "model", signature=signature, input_example=FRAME[:2])
    kept = load_folder(tmp_path / "model").signature
    assert kept == infer_signature(FRAME, pd.DataFrame({"sum": [1.0]}))


def test_requirements_are_used_as_given(tmp_path: Path) -> None:
    lines = ["pandas==3.*", "-c constraints.txt", "torch @ https://example.org/torch.whl"]
    save(total, tmp_path / "model", requirements=lines)
    assert (tmp_path / "model" / "requirements.txt").read_text().splitlines() == lines
    conda = yaml.safe_load((tmp_path / "model" / "conda.yaml").read_text())
    assert conda["dependencies"][-1] == {"pip": lines}
    python_env = yaml.safe_load((tmp_path / "model" / "python_env.yaml").read_text())
    assert python_env["dependencies"] == ["-r requirements.txt"]


class Lock(PythonModel):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class MlflowStyle:
    def predict(self, context: Any, model_input: Any) -> Any:
        return model_input


class Stateless:
    def __getstate__(self) -> Any:
        raise KeyError("state")

    def predict(self, model_input: Any) -> Any:
        return model_input


def takes_nothing() -> None: ...


def raises_two_lines(frame: Any) -> Any:
    raise ValueError("no\nway")


def leaves(frame: Any) -> Any:
    raise SystemExit(3)


REFUSED: dict[str, tuple[dict[str, Any], type[ServeryError], str]] = {
    "a model that is text": ({"model": "spam"}, InvalidInput, "'model'.*a str"),
    "a class": ({"model": Nothing}, InvalidInput, "'model'.*class Nothing"),
    "a transformer": ({"model": StandardScaler()}, InvalidInput, "'model'.*StandardScaler"),
    "a model with a lock": ({"model": Lock()}, InvalidInput, "'model'.*can be pickled.*Lock"),
    "mlflow's predict with context": ({"model": MlflowStyle()}, InvalidInput, r"'model'.*\(context, model_input\)"),
    "a function of nothing": ({"model": takes_nothing}, InvalidInput, "'model'.*nothing"),
    "a model that cannot give its state": ({"model": Stateless()}, InvalidInput, "'model'.*can be pickled.*'state'"),
    "a model that raises two lines": (
        {"model": raises_two_lines, "input_example": FRAME},
        PredictFailed,
        "raised on its input example: ValueError: no way",
    ),
    "a model that leaves": ({"model": leaves, "input_example": FRAME}, PredictFailed, "example: SystemExit: 3"),
    "a model that raises": (
        {"input_example": FRAME[["a"]]},
        PredictFailed,
        "raised on its input example: KeyError: 'n'",
    ),
    "an example of no kind": ({"input_example": object()}, InvalidInput, "'input_example'.*object"),
    "an example of two types": ({"input_example": [1, "x"]}, InvalidInput, "'input_example'.*long and string"),
    "a duration": (
        {"input_example": pd.DataFrame({"t": pd.to_timedelta(["1s"])})},
        InvalidInput,
        "'input_example'.*Timedelta",
    ),
    "arrays beside lists": ({"input_example": {"x": np.ones(1), "y": [1]}}, InvalidInput, "'input_example'.*arrays"),
    "params of no type": (
        {"input_example": (FRAME, {"p": object()})},
        InvalidInput,
        "'input_example'.*object has no form",
    ),
    "an example beside its signature": (
        {"input_example": FRAME, "signature": infer_signature(pd.DataFrame({"z": [1.0]}))},
        InvalidInput,
        "'input_example'.*'z'",
    ),
    "a signature that is text": ({"signature": "x"}, InvalidInput, "'signature'"),
    "metadata of no JSON type": ({"metadata": {"x": object()}}, InvalidInput, "'metadata'"),
    "metadata that is a list": ({"metadata": ["x"]}, InvalidInput, "'metadata'.*a list"),
    "bytes as metadata": ({"metadata": {"x": b"x"}}, InvalidInput, "'metadata'"),
    "an empty requirement": ({"requirements": [""]}, InvalidInput, "'requirements'"),
    "two requirements in one": ({"requirements": ["a\n-r /etc/passwd"]}, InvalidInput, "'requirements'"),
    "an answer without JSON": ({"model": lambda _: object(), "input_example": FRAME}, PredictFailed, "as a request"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_saved_is_refused_in_one_sentence_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    options, reason, named = REFUSED[case]
    with pytest.raises(reason, match=named) as raised:
        save(**{"model": total, "path": tmp_path / "model", **options})
    assert "\n" not in raised.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("years of work")
    with pytest.raises(AlreadyExists, match="model' already exists"):
        save(total, tmp_path / "model")
    assert [file.name for file in tmp_path.rglob("*")] == ["model", "thesis.txt"]


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: path.symlink_to("/nowhere")])
def test_a_file_or_a_link_is_never_replaced(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "model")
    with pytest.raises(AlreadyExists):
        save(total, tmp_path / "model")


@pytest.mark.parametrize("name", ["a\0b", "n" * 300])
def test_a_path_that_no_file_system_takes_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'path'.*can be made and written"):
        save(total, tmp_path / name)


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save(total, tmp_path / "empty")
    save(total, tmp_path / "a" / "b" / "c")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match=r"'path'.*file/model"):
        save(total, tmp_path / "file" / "model")


def test_of_two_saves_to_one_path_one_is_whole_and_the_other_is_told(tmp_path: Path) -> None:
    def rival(frame: Any) -> Any:
        if not (tmp_path / "model").exists():  # In the middle of the slower save.
            save(total, tmp_path / "model")
        return frame["a"]

    with pytest.raises(AlreadyExists):
        save(rival, tmp_path / "model", input_example=FRAME)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    assert load_folder(tmp_path / "model").predict(FRAME).tolist() == [2.0, 4.0, 6.0, 8.0]


class Interrupting(PythonModel):
    def predict(self, model_input: Any, params: Any = None) -> Any:
        raise KeyboardInterrupt


def test_an_interrupted_save_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        save(Interrupting(), tmp_path / "model", input_example=FRAME)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_save_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    script = """
import os, signal, sys, servery
servery.save_model(lambda data: os.kill(os.getpid(), signal.SIGKILL), sys.argv[1], input_example={"a": 1})
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "model")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "model").exists()


def test_saving_leaves_the_authors_classes_and_module_path_as_they_were(tmp_path: Path) -> None:
    path, predict, namespace = list(sys.path), Nothing.predict, Nothing.predict.__globals__
    save(Nothing(), tmp_path / "model", input_example=FRAME)
    assert sys.path == path
    assert Nothing.predict is predict
    assert Nothing.predict.__globals__ is namespace


def test_a_model_that_only_works_where_it_was_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "only_here_module.py").write_text("VALUE = 1")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))

    def predict(data: Any) -> Any:
        import only_here_module  # type: ignore[import-not-found]

        return [only_here_module.VALUE]

    with pytest.raises(LoadFailed, match=r"fresh process.*No module named 'only_here_module'"):
        save_model(predict, tmp_path / "model", input_example=FRAME)
    assert not (tmp_path / "model").exists()
