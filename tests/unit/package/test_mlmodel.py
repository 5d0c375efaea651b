"""The MLmodel file is read as data, and everything strange in it is refused in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from servery.errors import PackageInvalid
from servery.package.mlmodel import parse_mlmodel, read_mlmodel
from servery.package.plain_yaml import MLMODEL_BYTES_MAX
from servery_worker.schema import Column, ColumnType

STOCK = b"""
artifact_path: mlflow-artifacts:/0/models/m-1/artifacts
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.7
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
mlflow_version: 3.17.2
metadata:
  owner: me
  when: 2024-01-02 03:04:05
  day: 2024-01-02
  1: one
  limit: .inf
saved_input_example_info:
  artifact_path: input_example.json
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}]'
  outputs: null
  params: null
something_new: [1, 2.5, true, null]
"""

FUNCTION = "{flavors: {python_function: {loader_module: a.b%s}}%s}"
OTHER_FLAVOR = "{flavors: {python_function: {loader_module: a.b}, %s}}"


def test_it_gives_flavors_signature_and_every_field_as_json_types() -> None:
    mlmodel = parse_mlmodel(STOCK)
    assert mlmodel.python_function["loader_module"] == "mlflow.sklearn"
    assert mlmodel.flavors["sklearn"]["code"] is None
    assert mlmodel.signature is not None
    assert mlmodel.signature.inputs == (Column(ColumnType.DOUBLE, "a"),)
    assert mlmodel.fields["something_new"] == [1, 2.5, True, None]
    assert mlmodel.fields["metadata"] == {
        "owner": "me",
        "when": "2024-01-02 03:04:05",
        "day": "2024-01-02",
        "1": "one",
        "limit": None,
    }
    assert json.loads(json.dumps(mlmodel.fields, allow_nan=False)) == mlmodel.fields


def test_the_aliases_that_yaml_writers_make_are_read() -> None:
    text = FUNCTION % ("", ", metadata: {a: &x [1, 2], b: *x, c: *x}")
    assert parse_mlmodel(text.encode()).fields["metadata"] == {"a": [1, 2], "b": [1, 2], "c": [1, 2]}


def test_an_old_models_env_may_be_one_path_and_its_code_path_anything() -> None:
    text = FUNCTION % (", env: conda.yaml, model_code_path: /home/me/model.py", "")
    assert parse_mlmodel(text.encode()).python_function["env"] == "conda.yaml"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a mapping"),
    "a list": (b"[1]", "not a mapping"),
    "text": (b"hello", "not a mapping"),
    "binary": (b"\x80\x04\x95", "not plain YAML"),
    "UTF-16": ("a: b".encode("utf-16"), "not plain YAML"),
    "a NUL": (b"a: \0", "not plain YAML"),
    "broken YAML": (b"a: b\nc: [", "not plain YAML"),
    "a number of base 60": (b"a: " + b"1:" * 200_000 + b"1", "too many digits"),
    "a tag on no date": (b"a: !!timestamp x", "not plain YAML"),
    "a tag on no number": (b"a: !!int ''", "not plain YAML"),
    "a key twice": (b"a: 1\nb: 2\na: 3", r"the key 'a' twice \(line 3\)"),
    "a key twice, further in": (b"a: [{b: {c: 1, d: [c, c], c: 2}}]", "the key 'c' twice"),
    "a key as text and number": (b"a: {true: x, 'True': y}", "key under 'a' twice"),
    "two documents": (b"a: 1\n---\nb: 2", "not plain YAML"),
    "a Python object": (b"a: !!python/object/apply:os.system [id]", r"not plain YAML \(line 1\)"),
    "an unknown tag": (b"a: !x y", "not plain YAML"),
    "an alias of nothing": (b"a: *b", "not plain YAML"),
    "an impossible date": (b"a: 2024-99-99", "not plain YAML"),
    "a number of 5000 digits": (b"a: " + b"9" * 5000, r"too many digits \(line 1\)"),
    "a number beyond 64 bits": (b"a: 0x" + b"f" * 4000, "under 'a'"),
    "a surrogate": (b'a: "\\ud800"', "not plain YAML"),
    "a list as a key": (b"? [a]\n: b", "not plain YAML"),
    "a date as a key": (b"a: {2024-01-01: b}", "key under 'a'"),
    "bytes": (b"a: !!binary aGk=", "under 'a'"),
    "a set": (b"a: !!set {x}", "under 'a'"),
    "an alias bomb": (BOMB.encode(), "aliases counted in full"),
    "an alias in itself": (b"a: &a [*a]", "aliases counted in full"),
    "a merge of itself": (b"a: &a {<<: *a}", "aliases counted in full"),
    "deep lists": (b"[" * 100_000, "32 levels"),
    "deep blocks": (b"\n".join(b" " * depth + b"a:" for depth in range(100)), "32 levels"),
    "too many entries": (b"a: [" + b"1," * 60_000 + b"]", "50000 entries"),
    "too many bytes": (b"# " + b"x" * MLMODEL_BYTES_MAX, "larger than 1048576 bytes"),
    "no flavors": (b"a: 1", "'flavors'"),
    "flavors that are a list": (b"flavors: [a]", "'flavors'"),
    "a flavor that is text": (b"flavors: {python_function: x}", "'flavors'"),
    "no python_function": (b"flavors: {sklearn: {}}", "no python_function flavor"),
    "no loader": (b"flavors: {python_function: {}}", "loader_module"),
    "a loader that is no module": (b"flavors: {python_function: {loader_module: 'os; x'}}", "loader_module"),
    "a loader that is a path": (b"flavors: {python_function: {loader_module: ../x}}", "loader_module"),
    "a signature that is text": ((FUNCTION % ("", ", signature: x")).encode(), "broken signature"),
    "a signature without JSON": ((FUNCTION % ("", ", signature: {inputs: '[{'}")).encode(), "signature.inputs"),
    "a signature of numbers": ((FUNCTION % ("", ", signature: {inputs: '[1]'}")).encode(), "signature.inputs"),
    "an unknown type": ((FUNCTION % ("", ', signature: {outputs: \'[{"type": "x"}]\'}')).encode(), "signature.outputs"),
    "a deep signature": ((FUNCTION % ("", f", signature: {{inputs: '{'[' * 100_000}'}}")).encode(), "broken signature"),
    "a shape that is a number": (
        (FUNCTION % ("", ', signature: {params: \'[{"name": "a", "type": "long", "shape": 1}]\'}')).encode(),
        "broken signature",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_in_one_sentence(case: str) -> None:
    text, named = BROKEN[case]
    with pytest.raises(PackageInvalid, match=named) as raised:
        parse_mlmodel(text)
    assert "\n" not in raised.value.message
    assert raised.value.message.endswith(".")


OUTSIDE = ["../../etc/passwd", "/etc/passwd", "..", "a/../../b", "a\\..\\b", "./../x", "file:///etc", "''"]

ENTRIES: dict[str, str] = {
    "flavors.python_function.data": FUNCTION % (", data: %s", ""),
    "flavors.python_function.code": FUNCTION % (", code: %s", ""),
    "flavors.python_function.model_path": FUNCTION % (", model_path: %s", ""),
    "flavors.python_function.python_model": FUNCTION % (", python_model: %s", ""),
    "flavors.python_function.env": FUNCTION % (", env: %s", ""),
    "flavors.python_function.env.conda": FUNCTION % (", env: {conda: %s}", ""),
    "flavors.python_function.artifacts.x.path": FUNCTION % (", artifacts: {x: {path: %s, uri: 'file:///x'}}", ""),
    "flavors.sklearn.pickled_model": "{flavors: {python_function: {loader_module: a}, sklearn: {pickled_model: %s}}}",
    "flavors.pytorch.model_data": "{flavors: {python_function: {loader_module: a}, pytorch: {model_data: %s}}}",
    "flavors.python_function.saved_model_dir": FUNCTION % (", saved_model_dir: %s", ""),
    "flavors.python_function.model_binary": FUNCTION % (", model_binary: %s", ""),
    "flavors.python_function.artifacts.y.path": FUNCTION % (", artifacts: {y: %s}", ""),
    "flavors.transformers.components": OTHER_FLAVOR % "transformers: {components: [tokenizer, %s]}",
    "flavors.transformers.peft_adaptor": OTHER_FLAVOR % "transformers: {peft_adaptor: %s}",
    "flavors.pytorch.extra_files.path": OTHER_FLAVOR % "pytorch: {extra_files: [{path: %s}]}",
    "flavors.pytorch.requirements_file.path": OTHER_FLAVOR % "pytorch: {requirements_file: {path: %s}}",
    "saved_input_example_info.artifact_path": FUNCTION % ("", ", saved_input_example_info: {artifact_path: %s}"),
    "saved_input_example_info.serving_input_path": FUNCTION
    % ("", ", saved_input_example_info: {serving_input_path: %s}"),
    "servery.example_output": FUNCTION % ("", ", servery: {example_output: %s}"),
}


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_that_leaves_the_folder_is_named(entry: str, path: str) -> None:
    with pytest.raises(PackageInvalid, match=entry.replace(".", r"\.")):
        parse_mlmodel((ENTRIES[entry] % path).encode())


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_that_is_no_path_is_named(entry: str) -> None:
    with pytest.raises(PackageInvalid, match=entry.replace(".", r"\.")):
        parse_mlmodel((ENTRIES[entry] % "[1]").encode())


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_that_stays_is_taken(entry: str) -> None:
    assert parse_mlmodel((ENTRIES[entry] % "a/b.c").encode())


@pytest.mark.parametrize("path", ["..", "/home/me/..", "/home/me/", "x\\..", "[1]"])
def test_a_code_path_must_end_in_a_files_name(path: str) -> None:
    text = FUNCTION % (f", model_code_path: {path}", "")
    with pytest.raises(PackageInvalid, match=r"flavors\.python_function\.model_code_path"):
        parse_mlmodel(text.encode())


def test_a_byte_order_mark_is_taken_as_mlflow_takes_it() -> None:
    assert parse_mlmodel(b"\xef\xbb\xbf" + STOCK).fields == parse_mlmodel(STOCK).fields


def test_a_link_out_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    package = tmp_path / "package"
    package.mkdir()
    (package / "MLmodel").write_text(FUNCTION % (", data: model.pkl", ""))
    (package / "model.pkl").symlink_to("../secret")
    with pytest.raises(PackageInvalid, match=r"'model\.pkl' is a link"):
        read_mlmodel(package)


def test_a_linked_folder_is_named(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "MLmodel").write_text(FUNCTION % (", data: etc/passwd", ""))
    (package / "etc").symlink_to("/etc")
    with pytest.raises(PackageInvalid, match=r"'etc' is a link"):
        read_mlmodel(package)


def test_a_folder_without_mlmodel_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid, match="no MLmodel file"):
        read_mlmodel(tmp_path)


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid, match="does not exist"):
        read_mlmodel(tmp_path / "nowhere")


@pytest.mark.parametrize("target", ["/etc/passwd", "other"])
def test_an_mlmodel_that_is_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "other").write_bytes(STOCK)
    (tmp_path / "MLmodel").symlink_to(target)
    with pytest.raises(PackageInvalid, match="no MLmodel file"):
        read_mlmodel(tmp_path)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "MLmodel").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PackageInvalid, match="larger than"):
        read_mlmodel(tmp_path)


def test_reading_a_package_imports_no_framework() -> None:
    script = """
import sys
import servery.package
import servery.package.mlmodel, servery.package.manifest
servery.package.PythonModel
heavy = {"numpy", "pandas", "sklearn", "cloudpickle", "pickle", "joblib", "skops", "mlflow"} & set(sys.modules)
sys.exit(str(sorted(heavy)) if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
