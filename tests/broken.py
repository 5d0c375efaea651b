"""Packages that are broken on purpose, each in one way, and sound ones beside them: what ``servery check`` is shown.

A model is an object whose class travels in its pickle by value; no worker has this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import servery
from tests.models import by_value

REQUIREMENTS = ["cloudpickle", "numpy", "pandas"]
FRAME = pd.DataFrame({"age": [22.0, 35.0, 58.0], "income": [18.0, 52.0, 61.0]})
EXAMPLE_OUTPUT = "example_output.json"


class Sound:
    """Row-wise: the sum of a row. The others differ from it in one thing each."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.seen: dict[float, Any] = {}

    def predict(self, frame: Any) -> Any:
        return frame.sum(axis=1).to_numpy()


class OnlyWhenLoaded(Sound):
    """What it does when it is loaded, it does not do when it is saved."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.loaded()

    def loaded(self) -> None:
        """Done in the worker."""


class RaisesAtLoad(OnlyWhenLoaded):
    def loaded(self) -> None:
        raise RuntimeError("no recipe today")


class HangsAtLoad(OnlyWhenLoaded):
    def loaded(self) -> None:
        import time

        time.sleep(3600)


class DiesAtLoad(OnlyWhenLoaded):
    def loaded(self) -> None:
        raise SystemExit("the cellar is empty")


class LacksModule(OnlyWhenLoaded):
    def loaded(self) -> None:
        import imaginary_library  # type: ignore[import-not-found] # noqa: F401


class UsesMoreThanItRequires(OnlyWhenLoaded):
    def loaded(self) -> None:
        import sklearn.linear_model  # noqa: F401


class NeedsGpu(OnlyWhenLoaded):
    def loaded(self) -> None:
        import ctypes

        ctypes.CDLL("libcuda.so.1")


class NeedsGpuToPredict(Sound):
    def predict(self, frame: Any) -> Any:
        raise RuntimeError("Found no NVIDIA driver on your system")


class NeedsNetwork(OnlyWhenLoaded):
    def loaded(self) -> None:
        import urllib.request

        urllib.request.urlopen("http://weights.invalid/model.bin", timeout=5)


class DependsOnNeighbours(Sound):
    def predict(self, frame: Any) -> Any:
        return (frame.sum(axis=1) - frame.sum(axis=1).mean()).to_numpy()


class AnswersAtRandom(Sound):
    def predict(self, frame: Any) -> Any:
        import numpy

        return frame.sum(axis=1).to_numpy() + numpy.random.default_rng().random(len(frame))


class Leaks(Sound):
    def predict(self, frame: Any) -> Any:
        self.kept.append(b"x" * 500_000)
        return super().predict(frame)


class LeaksByValue(Sound):
    """A cache of answers, which never forgets."""

    def predict(self, frame: Any) -> Any:
        import numpy

        key = float(frame["age"].sum())
        if key not in self.seen:
            self.seen[key] = numpy.ones(50_000)
        return super().predict(frame)


class WritesOutside(Sound):
    def predict(self, frame: Any) -> Any:
        from pathlib import Path

        with (Path.home() / "predictions.csv").open("a") as file:
            file.write("one more\n")
        return super().predict(frame)


class WritesAnywhere(Sound):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = str(path)

    def predict(self, frame: Any) -> Any:
        from contextlib import suppress

        with suppress(OSError), open(self.path, "a") as file:
            file.write("one more\n")
        return super().predict(frame)


class Prints(Sound):
    def predict(self, frame: Any) -> Any:
        for _, row in frame.iterrows():
            print("now predicting, as I always do, a row:", *["=" * 60] * 5, row.to_dict())  # noqa: T201
        return super().predict(frame)


class Slow(Sound):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def predict(self, frame: Any) -> Any:
        import time

        time.sleep(self.seconds)
        return super().predict(frame)


class DiesOnNulls(Sound):
    def predict(self, frame: Any) -> Any:
        import os
        import signal

        if frame.isna().any().any():
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().predict(frame)


class HangsOnLargeValues(Sound):
    def predict(self, frame: Any) -> Any:
        import time

        while (frame["age"] > 1e12).any():
            time.sleep(0.1)
        return super().predict(frame)


class RaisesOnManyRows(Sound):
    def predict(self, frame: Any) -> Any:
        if len(frame) > 500:
            raise ValueError("too many cooks")
        return super().predict(frame)


class DiesInTheEnd(OnlyWhenLoaded):
    def loaded(self) -> None:
        self.kept = []

    def predict(self, frame: Any) -> Any:
        import os

        self.kept.append(frame)
        if len(self.kept) > 40:
            os._exit(3)
        return super().predict(frame)


class LeavesChildren(OnlyWhenLoaded):
    is_loaded = False

    def loaded(self) -> None:
        self.is_loaded = True

    def predict(self, frame: Any) -> Any:
        import subprocess

        if self.is_loaded:
            subprocess.Popen(["sleep", "600"])
        return super().predict(frame)


def save(model: Any, folder: Path, *, example: Any = FRAME, requirements: list[str] | None = None) -> Path:
    """The package of a model whose class is in this module."""
    with by_value(__name__):
        servery.save_model(model, folder, input_example=example, requirements=requirements or REQUIREMENTS, lock=False)
    return folder


def save_other_answer(folder: Path) -> Path:
    """A sound model whose recorded answer is another one's."""
    save(Sound(), folder)
    (folder / EXAMPLE_OUTPUT).write_text('{"predictions": [40.0, 87.0, 120.5]}')
    (folder / "manifest.json").unlink()
    return folder


def save_without_example(model: Any, folder: Path) -> Path:
    """What raises on its example cannot be saved with one."""
    signature = servery.infer_signature(FRAME, outputs=np.array([1.0, 2.0, 3.0]))
    with by_value(__name__):
        servery.save_model(model, folder, signature=signature, requirements=REQUIREMENTS, lock=False)
    return folder


def save_wrong_requirements(folder: Path) -> Path:
    return save(Sound(), folder, requirements=[*REQUIREMENTS, "a-library-that-nobody-made==1.0"])


def save_changed_file(folder: Path) -> Path:
    save(Sound(), folder)
    with (folder / "model.pkl").open("ab") as file:
        file.write(b"!")
    return folder


def save_sklearn(folder: Path) -> Path:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(FRAME, ["no", "yes", "yes"])
    requirements = ["cloudpickle", "numpy", "pandas", "scikit-learn"]
    servery.save_model(model, folder, input_example=FRAME[:2], requirements=requirements, lock=False)
    return folder


def save_stock(folder: Path) -> Path:
    """As a stock mlflow saves a model: no seal, no recorded answer."""
    import mlflow
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(FRAME, [1.0, 2.0, 3.0])
    mlflow.sklearn.save_model(model, folder, input_example=FRAME[:2], pip_requirements=["scikit-learn", "pandas"])
    return folder


def save_function(folder: Path) -> Path:
    def above(rows: Any) -> Any:
        return rows[:, 0] > 0.5

    servery.save_model(above, folder, input_example=np.array([[0.2], [0.7]]), requirements=REQUIREMENTS, lock=False)
    return folder
