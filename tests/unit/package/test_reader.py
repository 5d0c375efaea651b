"""load_folder gives a model with its signature enforced, or one sentence that says why not."""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path

import pandas as pd
import pytest

from servery.errors import LoadFailed, PackageInvalid
from servery.package import load_folder, save_model

FRAME = pd.DataFrame({"a": [1.0, 2.0]})


@pytest.fixture
def package(tmp_path: Path) -> Path:
    save_model(lambda frame: frame["a"] * 2, tmp_path / "spam", input_example=FRAME, requirements=["pandas"])
    return tmp_path / "spam"


def test_it_predicts_what_the_saved_model_predicts(package: Path) -> None:
    assert load_folder(package).predict(pd.DataFrame({"a": [5.0]})).tolist() == [10.0]


def test_a_folder_may_be_named_relative_to_the_present_one(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(package.parent)
    assert load_folder(Path("spam")).predict(FRAME).tolist() == [2.0, 4.0]


def test_an_input_that_breaks_the_signature_is_a_value_error_that_names_the_column(package: Path) -> None:
    with pytest.raises(ValueError, match="'a'"):
        load_folder(package).predict(pd.DataFrame({"b": [1.0]}))


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid, match="no MLmodel file"):
        load_folder(tmp_path)


BROKEN = {
    "no model file": lambda package: (package / "model.pkl").unlink(),
    "a model file that is no pickle": lambda package: (package / "model.pkl").write_bytes(b"not a pickle"),
    "an unknown loader": lambda package: (package / "MLmodel").write_text(
        "flavors: {python_function: {loader_module: some.other.loader}}"
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_package_that_does_not_load_is_named_with_its_cause(case: str, package: Path) -> None:
    (package / "manifest.json").unlink()
    BROKEN[case](package)
    with pytest.raises(LoadFailed, match="The model in 'spam' failed to load: ") as raised:
        load_folder(package)
    assert "\n" not in raised.value.message


def test_bytecode_that_lies_in_the_package_is_never_run(package: Path, tmp_path: Path) -> None:
    source = package / "code" / "servery_python_model.py"
    planted = tmp_path / source.name
    planted.write_text(f"{source.read_text()}\nraise RuntimeError('planted')\n")
    bytecode = package / "code" / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    bytecode.parent.mkdir()
    py_compile.compile(str(planted), str(bytecode), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    sys.modules.pop(source.stem, None)
    assert load_folder(package).predict(FRAME).tolist() == [2.0, 4.0]


def test_a_file_among_bytecode_is_no_file_of_the_package(package: Path) -> None:
    (package / "manifest.json").unlink()
    (package / "__pycache__").mkdir()
    (package / "model.pkl").rename(package / "__pycache__" / "model.pkl")
    text = (package / "MLmodel").read_text()
    (package / "MLmodel").write_text(text.replace("model.pkl", "__pycache__/model.pkl"))
    with pytest.raises(PackageInvalid, match="among bytecode"):
        load_folder(package)
