"""Whether callers of one signature can call another."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

import servery
from servery.errors import InvalidInput, PackageInvalid
from servery_worker.enforcement import enforce
from servery_worker.schema import Column, ColumnType, Param, Signature, Tensor

Parts = dict[str, Any]


def column(kind: str, name: str | None = "x", *, required: bool = True, **detail: Any) -> Column:
    return Column(ColumnType(kind), name, required, detail or None)


def inputs(*specs: Column | Tensor) -> Parts:
    return {"inputs": specs}


def outputs(*specs: Column | Tensor) -> Parts:
    return {"outputs": specs}


def param(kind: str, default: Any = None, *, shape: tuple[int, ...] | None = None, **detail: Any) -> Parts:
    return {"params": (Param("k", ColumnType(kind), default, shape, detail or None),)}


def tensor(dtype: str, *shape: int, name: str | None = None) -> Tensor:
    return Tensor(dtype, shape, name)


def properties(**types: str) -> Column:
    """An object; ``note="string?"`` is an optional property."""
    entries = {name: {"type": kind.rstrip("?"), "required": not kind.endswith("?")} for name, kind in types.items()}
    return column("object", properties=entries)


def mapping(kind: str) -> Column:
    return column("map", values={"type": kind})


def array(kind: str) -> Column:
    return column("array", items={"type": kind})


INTEGER, LONG, FLOAT, DOUBLE, STRING, ANY = (
    column(kind) for kind in ("integer", "long", "float", "double", "string", "any")
)
UNNAMED = column("long", None)
OPTIONAL = column("long", required=False)

FINE: list[tuple[str, Parts, Parts]] = [
    ("nothing changes", inputs(LONG), inputs(LONG)),
    (
        "the order changes",
        inputs(column("long", "a"), column("long", "b")),
        inputs(column("long", "b"), column("long", "a")),
    ),
    ("a column is gone", inputs(LONG, column("string", "y")), inputs(LONG)),
    ("an optional column is new", inputs(LONG), inputs(LONG, column("long", "y", required=False))),
    ("a column becomes optional", inputs(LONG), inputs(OPTIONAL)),
    ("integer widens to long", inputs(INTEGER), inputs(LONG)),
    ("integer widens to double", inputs(INTEGER), inputs(DOUBLE)),
    ("float widens to double", inputs(FLOAT), inputs(DOUBLE)),
    ("a type becomes any", inputs(STRING), inputs(ANY)),
    ("fewer columns by position", inputs(UNNAMED, UNNAMED), inputs(UNNAMED)),
    ("items widen", inputs(array("integer")), inputs(array("long"))),
    ("items become any", inputs(array("integer")), inputs(array("any"))),
    ("a property widens", inputs(properties(a="float")), inputs(properties(a="double"))),
    ("an optional property is new", inputs(properties(a="long")), inputs(properties(a="long", b="long?"))),
    ("a property becomes optional", inputs(properties(a="long")), inputs(properties(a="long?"))),
    ("a map's values widen", inputs(mapping("integer")), inputs(mapping("long"))),
    ("a dimension becomes free", inputs(tensor("float64", -1, 3)), inputs(tensor("float64", -1, -1))),
    ("text of another length", inputs(tensor("<U5", -1)), inputs(tensor("str", -1))),
    (
        "a tensor is gone",
        inputs(tensor("int64", -1, name="a"), tensor("int64", -1, name="b")),
        inputs(tensor("int64", -1, name="a")),
    ),
    ("a param is new", {}, param("double", 0.5)),
    ("a param is gone: it is ignored", param("double", 0.5), {"params": None}),
    ("a param widens", param("long", 1), param("double", 0.5)),
    ("a param integer widens to float", param("integer", 1), param("float", 0.5)),
    ("an output column is new", outputs(LONG), outputs(LONG, column("double", "score"))),
    ("an output becomes required", outputs(OPTIONAL), outputs(LONG)),
    ("an output was any", outputs(ANY), outputs(LONG)),
    ("an output has a new property", outputs(properties(a="long")), outputs(properties(a="long", b="string"))),
    ("an output's dimension becomes fixed", outputs(tensor("float64", -1, -1)), outputs(tensor("float64", -1, 3))),
]

PROBLEMS: list[tuple[Parts, Parts, str]] = [
    (inputs(LONG), inputs(LONG, column("long", "y")), "Input column 'y' is new and required."),
    (inputs(OPTIONAL), inputs(LONG), "Input column 'x' was optional and is required now."),
    (inputs(DOUBLE), inputs(LONG), "Input column 'x' was double and is long now."),
    (inputs(LONG), inputs(INTEGER), "Input column 'x' was long and is integer now."),
    (inputs(LONG), inputs(DOUBLE), "Input column 'x' was long and is double now."),
    (inputs(DOUBLE), inputs(FLOAT), "Input column 'x' was double and is float now."),
    (inputs(INTEGER), inputs(STRING), "Input column 'x' was integer and is string now."),
    (inputs(STRING), inputs(column("binary")), "Input column 'x' was string and is binary now."),
    (inputs(ANY), inputs(STRING), "Input column 'x' was any and is string now."),
    (inputs(LONG), inputs(array("long")), "Input column 'x' was long and is array now."),
    (inputs(array("double")), inputs(array("long")), "Input column 'x'[*] was double and is long now."),
    (inputs(array("any")), inputs(array("long")), "Input column 'x'[*] was any and is long now."),
    (inputs(properties(a="long")), inputs(properties(a="string")), "Input column 'x'.a was long and is string now."),
    (inputs(properties(a="long")), inputs(properties(a="long", b="long")), "Input column 'x'.b is new and required."),
    (
        inputs(properties(a="long?")),
        inputs(properties(a="long")),
        "Input column 'x'.a was optional and is required now.",
    ),
    (inputs(properties(a="long", b="long?")), inputs(properties(a="long")), "Input column 'x'.b is gone."),
    (inputs(mapping("long")), inputs(mapping("string")), "Input column 'x'.* was long and is string now."),
    (inputs(properties(a="long")), inputs(mapping("long")), "Input column 'x' was object and is map now."),
    (
        inputs(column("array", items={"type": "object", "properties": {"a": {"type": "long", "required": True}}})),
        inputs(column("array", items={"type": "object", "properties": {"a": {"type": "string", "required": True}}})),
        "Input column 'x'[*].a was long and is string now.",
    ),
    (inputs(UNNAMED), inputs(UNNAMED, UNNAMED), "Input column 1 is new and required."),
    (inputs(LONG), inputs(UNNAMED), "The inputs were named columns and are columns without names now."),
    (
        inputs(column("double", None)),
        inputs(tensor("float64", -1, 1)),
        "The inputs were columns without names and are tensors without names now.",
    ),
    (
        inputs(tensor("float64", -1)),
        inputs(tensor("float64", -1, name="a")),
        "The inputs were tensors without names and are named tensors now.",
    ),
    (
        inputs(tensor("float32", -1)),
        inputs(tensor("float64", -1)),
        "Input tensor 0 was of float32 and is of float64 now.",
    ),
    (
        inputs(tensor("int8", -1, -1)),
        inputs(tensor("int8", -1, 3)),
        "Input tensor 0 had the shape (-1, -1) and has (-1, 3) now.",
    ),
    (
        inputs(tensor("int8", -1, 4)),
        inputs(tensor("int8", -1, 3)),
        "Input tensor 0 had the shape (-1, 4) and has (-1, 3) now.",
    ),
    (
        inputs(tensor("int8", -1)),
        inputs(tensor("int8", -1, 1)),
        "Input tensor 0 had the shape (-1,) and has (-1, 1) now.",
    ),
    (
        inputs(tensor("int8", -1, name="a")),
        inputs(tensor("int8", -1, name="b")),
        "Input tensor 'b' is new and required.",
    ),
    (param("double", 0.5), param("long", 1), "Param 'k' was double and is long now."),
    (param("long", 1), param("integer", 1), "Param 'k' was long and is integer now."),
    (param("long", 1), param("long", [1], shape=(-1,)), "Param 'k' was a single value and is a list now."),
    (
        param("object", {}, properties={"a": {"type": "long"}}),
        param("object", {}, properties={}),
        "Param 'k'.a is gone.",
    ),
    (outputs(LONG, column("long", "y")), outputs(LONG), "Output column 'y' is gone."),
    (outputs(INTEGER), outputs(LONG), "Output column 'x' was integer and is long now."),
    (outputs(UNNAMED), outputs(column("string", None)), "Output column 0 was long and is string now."),
    (outputs(LONG), outputs(OPTIONAL), "Output column 'x' was always there and is optional now."),
    (
        outputs(UNNAMED),
        outputs(column("long", "label")),
        "The outputs were columns without names and are named columns now.",
    ),
    (outputs(properties(a="long", b="long")), outputs(properties(a="long")), "Output column 'x'.b is gone."),
    (
        outputs(tensor("int64", -1, 3)),
        outputs(tensor("int64", -1, -1)),
        "Output tensor 0 had the shape (-1, 3) and has (-1, -1) now.",
    ),
]


@pytest.mark.parametrize(("old", "new"), [pytest.param(old, new, id=name) for name, old, new in FINE])
def test_callers_of_the_old_one_can_call_the_new_one(old: Parts, new: Parts) -> None:
    found = servery.check_compatible(Signature(**old), Signature(**new))
    assert found.problems == ()
    assert found.compatible
    assert found


@pytest.mark.parametrize(("old", "new", "problem"), [pytest.param(*case, id=case[2]) for case in PROBLEMS])
def test_a_change_that_callers_would_notice_is_one_sentence_that_names_the_field(
    old: Parts, new: Parts, problem: str
) -> None:
    found = servery.check_compatible(Signature(**old), Signature(**new))
    assert problem in found.problems
    assert not found.compatible
    assert not found


def test_every_problem_is_named_inputs_then_params_then_outputs() -> None:
    old = Signature(**inputs(LONG), **param("long", 1), **outputs(column("long", "y")))
    new = Signature(**inputs(STRING, column("long", "z")), **param("string", ""), **outputs(column("long", "w")))
    assert servery.check_compatible(old, new).problems == (
        "Input column 'x' was long and is string now.",
        "Input column 'z' is new and required.",
        "Param 'k' was long and is string now.",
        "Output column 'y' is gone.",
    )


def test_what_a_signature_does_not_say_is_a_note_and_no_problem() -> None:
    told = Signature(**inputs(LONG), **outputs(LONG))
    assert servery.check_compatible(None, told) == servery.check_compatible(Signature(), told)
    assert servery.check_compatible(None, told).notes == (
        "The old signature says nothing of inputs, so what its callers count on is not known.",
        "The old signature says nothing of outputs, so what its callers count on is not known.",
    )
    assert servery.check_compatible(told, None).notes == (
        "The new signature says nothing of inputs, so everything is accepted.",
        "The new signature says nothing of outputs, so what callers will read is not known.",
    )
    assert servery.check_compatible(None, told).compatible
    assert servery.check_compatible(told, None).compatible


SAMPLES: dict[ColumnType, Any] = {
    ColumnType.BOOLEAN: np.array([True, False]),
    ColumnType.INTEGER: np.array([-(2**31), 2**31 - 1], dtype="int32"),
    ColumnType.LONG: np.array([-(2**63), 2**63 - 1], dtype="int64"),
    ColumnType.FLOAT: np.array([-3.4e38, 1e-45], dtype="float32"),
    ColumnType.DOUBLE: np.array([-1.7e308, 5e-324]),
    ColumnType.STRING: np.array(["a", ""], dtype=object),
    ColumnType.BINARY: np.array([b"a", b""], dtype=object),
    ColumnType.DATETIME: np.array(["2026-01-01", "1970-01-01"], dtype="datetime64[ns]"),
}


@pytest.mark.parametrize(("old", "new"), list(product(SAMPLES, SAMPLES)), ids=lambda kind: kind.value)
def test_what_may_change_its_type_is_accepted_whole_by_the_enforcement(old: ColumnType, new: ColumnType) -> None:
    told = [Signature(inputs=(Column(kind, "x"),)) for kind in (old, new)]
    if servery.check_compatible(*told):
        given = pd.DataFrame({"x": SAMPLES[old]})
        assert (enforce(given, told[1].inputs)["x"] == given["x"]).all()


def test_a_folder_a_loaded_model_and_mlflows_own_signature_are_compared_as_they_are(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    servery.save_model(lambda data: data["x"], tmp_path / "model", input_example=frame, requirements=["pandas"])
    stock = ModelSignature(inputs=Schema([ColSpec(DataType.string, "x")]))
    problem = ("Input column 'x' was double and is string now.",)

    for old in (tmp_path / "model", str(tmp_path / "model"), servery.load_model(str(tmp_path / "model"))):
        assert servery.check_compatible(old, stock).problems == problem
        assert servery.check_compatible(old, stock.to_dict()).problems == problem


def test_what_has_no_signature_is_refused_by_its_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'old': expected a signature"):
        servery.check_compatible(3, None)
    with pytest.raises(InvalidInput, match=r"'new': .*inputs' is not JSON"):
        servery.check_compatible(None, {"inputs": "{"})
    with pytest.raises(PackageInvalid, match="does not exist"):
        servery.check_compatible(tmp_path / "nothing", None)


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (
            inputs(column("string")),
            inputs(column("string"), column("string", "y", required=False)),
            "Values that are sent without the name of column 'x' are refused now.",
        ),
        (
            inputs(column("long"), column("long", "y")),
            inputs(column("long"), column("long", "y"), column("array", "z", required=False, items={"type": "long"})),
            "An object in 'inputs' is one row now, for the new signature has a nested column.",
        ),
        (
            inputs(column("long"), column("array", "z", required=False, items={"type": "long"})),
            inputs(column("long")),
            "An object in 'inputs' is columns of several rows now, for the new signature has no nested column.",
        ),
        (
            inputs(tensor("float64", -1, 2)),
            inputs(tensor("float64", -1, -1)),
            "A table is no longer taken: the new shape (-1, -1) does not say how many columns it has.",
        ),
    ],
)
def test_a_form_of_bodies_that_will_be_read_otherwise_is_noted(old: Parts, new: Parts, note: str) -> None:
    found = servery.check_compatible(Signature(**old), Signature(**new))
    assert note in found.notes


def test_callers_of_a_frame_cannot_call_a_model_with_a_type_hint() -> None:
    parts = inputs(column("string", None))
    found = servery.check_compatible(Signature(**parts), Signature(**parts, is_from_type_hint=True))
    assert found.problems == ("The new signature comes from a type hint: only bodies with 'inputs' are taken.",)
    assert servery.check_compatible(
        Signature(**parts, is_from_type_hint=True), Signature(**parts, is_from_type_hint=True)
    )
