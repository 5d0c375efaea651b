"""What pickles would import is found in every form in which models are kept, and without loading one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier

from servery.check.pickles import scan_package
from servery.check.report import Finding, Verdict
from servery.clock import SystemClock


class Calls:
    """Calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.what = (function, arguments)

    def __reduce__(self) -> Any:
        return self.what


class Names:
    """Names a function, and does not call it."""

    def __init__(self) -> None:
        self.function = os.system


def forest() -> Any:
    return RandomForestClassifier(3).fit(np.arange(40.0).reshape(20, 2), [0, 1] * 10)


def scan(folder: Path) -> Finding:
    return scan_package(folder, os.listdir(folder), SystemClock())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_model_of_a_library_is_fine_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(forest(), protocol=protocol))
    finding = scan(tmp_path)
    assert (finding.verdict, finding.sentence) == (Verdict.OK, "Its pickles import numpy, sklearn.")
    assert "sklearn.ensemble._forest.RandomForestClassifier" in finding.facts["imports"]


@pytest.mark.parametrize(("count", "words"), [(1, "carry 1 piece of code"), (2, "carry 2 pieces of code")])
def test_code_that_travels_by_value_is_counted(tmp_path: Path, count: int, words: str) -> None:
    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps([lambda: 1, lambda: 2][:count]))
    assert scan(tmp_path).sentence == f"Its pickles import cloudpickle, and {words} by value."


@pytest.mark.parametrize("compress", [0, 3, ("bz2", 3), ("xz", 1), ("gzip", 3)])
def test_joblib_is_read_past_its_arrays(tmp_path: Path, compress: Any) -> None:
    what = [np.arange(1000.0), np.array([{}, "a"], dtype=object), np.array(["text"]), forest()]
    joblib.dump(what, tmp_path / "model.joblib", compress=compress)
    finding = scan(tmp_path)
    assert finding.verdict is Verdict.OK
    assert "sklearn.tree._tree.Tree" in finding.facts["imports"]


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [(os.system, ("true",), "posix.system"), (eval, ("1",), "builtins.eval"), (open, ("a",), "io.open")],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_call_into_the_machine_is_a_warning(
    tmp_path: Path, function: Any, arguments: tuple[Any, ...], name: str, protocol: int
) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": Calls(function, *arguments)}, protocol=protocol))
    finding = scan(tmp_path)
    assert finding.verdict is Verdict.WARNING
    assert name.split(".")[1] in finding.sentence


def test_a_call_is_found_behind_getattr(tmp_path: Path) -> None:
    code = pickle.PROTO + b"\x04" + b"cbuiltins\ngetattr\ncos\npath\n\x8c\x06system\x86R\x8c\x04true\x85R."
    (tmp_path / "model.pkl").write_bytes(code)
    assert "os.path.system" in scan(tmp_path).facts["imports"]


def test_what_is_named_only_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps(Names()))
    finding = scan(tmp_path)
    assert finding.verdict is Verdict.NOTE
    assert "posix.system" in finding.sentence


@pytest.mark.parametrize("name", ["objects.npy", "objects.npz"])
def test_arrays_of_objects_are_pickles(tmp_path: Path, name: str) -> None:
    what = np.array([Calls(os.system, "true")], dtype=object)
    if name.endswith(".npy"):
        np.save(tmp_path / name, what, allow_pickle=True)
    else:
        np.savez(tmp_path / name, what)
    assert "posix.system" in scan(tmp_path).facts["called"]


def test_code_carried_by_value_is_said_with_the_names_it_uses(tmp_path: Path) -> None:
    def serve(dish: Any) -> Any:
        import webbrowser

        return webbrowser.open(dish)

    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps(serve))
    finding = scan(tmp_path)
    assert finding.verdict is Verdict.OK
    assert finding.facts["code_by_value"] == 1
    assert "webbrowser" in finding.facts["code_names"]


def test_a_pickle_that_is_cut_off_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(forest())[:-50])
    finding = scan(tmp_path)
    assert finding.verdict is Verdict.WARNING
    assert "'model.pkl' is broken or cut off" in finding.sentence


def test_a_package_without_pickles_has_none(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(os.urandom(1000))
    skops.io.dump(forest(), tmp_path / "model.skops")
    assert scan(tmp_path).verdict is Verdict.OK
    (tmp_path / "model.skops").unlink()
    assert scan(tmp_path).sentence == "It holds no pickle."
