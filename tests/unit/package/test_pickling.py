"""What is not installed travels in the pickle; what is installed is named."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
import pytest

import servery.package.python_model
import servery.package.writer
from servery.package import PythonModel
from servery.package.pickling import dump, is_local


@pytest.mark.parametrize(
    ("module", "local"),
    [
        (json, False),
        (sys, False),
        (np, False),
        (pytest, False),
        (servery.package.writer, False),
        (servery.package.python_model, True),
        (sys.modules[__name__], True),
        (ModuleType("made_up"), False),
    ],
)
def test_a_module_is_local_when_nothing_installed_it(module: ModuleType, local: bool) -> None:
    assert is_local(module) is local


class Doubling(PythonModel):
    def predict(self, model_input: Any, params: Any = None) -> Any:
        return np.asarray(model_input) * 2


def test_a_pickle_names_no_module_of_ours_or_the_authors(tmp_path: Path) -> None:
    dump(Doubling(), tmp_path / "model.pkl")
    named: set[str] = set()

    class Recorder(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            named.add(module)
            return super().find_class(module, name)

    with (tmp_path / "model.pkl").open("rb") as file:
        Recorder(file).load()
    assert "cloudpickle.cloudpickle" in named
    assert not [module for module in named if module.startswith(("servery", "tests"))]


def test_what_was_registered_by_the_author_stays_registered_and_nothing_else(tmp_path: Path) -> None:
    own = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(own)
    try:
        dump(Doubling(), tmp_path / "model.pkl")
        assert cloudpickle.list_registry_pickle_by_value() == {__name__}
    finally:
        cloudpickle.unregister_pickle_by_value(own)
