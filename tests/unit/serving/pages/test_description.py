"""What is read of a package's files, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from servery.package.mlmodel import read_mlmodel
from servery.serving.pages.description import EXAMPLE_BYTES_MAX, Description, describe

MLMODEL = {
    "flavors": {"python_function": {"loader_module": "mlflow.sklearn"}, "sklearn": {}},
    "signature": {"inputs": json.dumps([{"type": "string"}])},
    "saved_input_example_info": {"serving_input_path": "serving_input_example.json"},
    "servery": {"example_output": "example_output.json"},
}


def described(folder: Path, fields: dict[str, Any] | None = None, **files: str) -> Description:
    (folder / "MLmodel").write_text(json.dumps(MLMODEL | (fields or {})))
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text)
    return describe(folder, read_mlmodel(folder))


def test_signature_flavor_example_and_recorded_answer(tmp_path: Path) -> None:
    found = described(tmp_path, serving_input_example='{"inputs": ["a"]}', example_output='{"predictions": [1]}')
    assert (found.flavor, found.request, found.answer) == ("sklearn", {"inputs": ["a"]}, {"predictions": [1]})
    assert found.signature is not None
    assert found.notes == ()


def test_a_package_without_an_example_has_none(tmp_path: Path) -> None:
    found = described(tmp_path)
    assert (found.request, found.answer, found.notes) == (None, None, ())


def test_a_signature_from_a_type_hint_is_known_as_such(tmp_path: Path) -> None:
    found = described(tmp_path, {"is_signature_from_type_hint": True})
    assert found.signature is not None
    assert found.signature.is_from_type_hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"inputs": "%s"}' % ("x" * EXAMPLE_BYTES_MAX), "has more than 65536 bytes"),
        ("[" * 50_000, "is not JSON"),
        ("", "is not JSON"),
        ("[" * 70 + "]" * 70, "nested more than 64 levels"),
    ],
    ids=["large", "too deep to read", "empty", "deep"],
)
def test_an_example_that_cannot_be_shown_is_left_out_with_a_note(tmp_path: Path, text: str, said: str) -> None:
    found = described(tmp_path, serving_input_example=text)
    assert found.request is None
    [note] = found.notes
    assert said in note
