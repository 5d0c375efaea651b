"""The MLmodel file of a package, read as data: nothing that it names is opened, imported or unpickled.

The form is MLflow's (``mlflow/models/model.py``): YAML with ``flavors``, ``signature`` and descriptive fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servery.errors import PackageInvalid
from servery.package.manifest import BYTECODE_FOLDER, check_relative_path, files_below
from servery.package.plain_yaml import MLMODEL_BYTES_MAX, load_plain
from servery_worker.schema import SchemaError, Signature

MLMODEL_FILE = "MLmodel"

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_FLAVOR_PATHS = (
    *("data", "code", "env", "model_path", "pickled_model"),
    *("model_data", "python_model", "model_binary", "saved_model_dir", "requirements_file", "peft_adaptor"),
)
_FLAVOR_PATH_LISTS = ("components", "extra_files")


@dataclass(frozen=True, slots=True)
class MLmodel:
    """A checked MLmodel file: JSON types only, and every path that it names lies inside the package."""

    fields: Mapping[str, Any]
    signature: Signature | None

    @property
    def flavors(self) -> Mapping[str, Mapping[str, Any]]:
        flavors: Mapping[str, Mapping[str, Any]] = self.fields["flavors"]
        return flavors

    @property
    def python_function(self) -> Mapping[str, Any]:
        """The flavor that says how to load and predict in Python; ``loader_module`` is always there."""
        return self.flavors["python_function"]


def read_mlmodel(folder: Path) -> MLmodel:
    """Read and check ``folder/MLmodel``.

    Raises:
        PackageInvalid: it is missing, is not what MLflow writes, or names something outside the folder; or the folder
            holds something that is neither a file nor a folder.
    """
    file = folder / MLMODEL_FILE
    if not folder.is_dir():
        raise PackageInvalid(f"The model folder '{folder}' does not exist.")
    if file.is_symlink() or not file.is_file():
        raise PackageInvalid(f"The folder '{folder}' is no model package: it has no MLmodel file.")
    with file.open("rb") as opened:
        mlmodel = parse_mlmodel(opened.read(MLMODEL_BYTES_MAX + 1))
    for _ in files_below(folder):
        pass  # A link or a pipe is refused on the way, wherever it lies: a loader would follow it.
    return mlmodel


def parse_mlmodel(text: bytes) -> MLmodel:
    """Check the bytes of an MLmodel file.

    Raises:
        PackageInvalid: it is too large or too deep, no plain YAML mapping, has no python_function flavor, a broken
            signature, or a path that leaves the package's folder.
    """
    fields = load_plain(text)
    if not isinstance(fields, dict):
        raise PackageInvalid("The MLmodel file is not a mapping of fields.")
    _check_flavors(fields.get("flavors"))
    for entry, path in _named_paths(fields):
        _check_path(entry, path)
    return MLmodel(fields, _read_signature(fields.get("signature")))


def _check_flavors(flavors: Any) -> None:
    if not isinstance(flavors, dict) or not all(isinstance(flavor, dict) for flavor in flavors.values()):
        raise PackageInvalid("'flavors' in the MLmodel file is not a mapping of flavors.")
    if "python_function" not in flavors:
        raise PackageInvalid("The MLmodel file has no python_function flavor, which serving needs.")
    module = flavors["python_function"].get("loader_module")
    if not isinstance(module, str) or not _MODULE.fullmatch(module):
        raise PackageInvalid("'flavors.python_function.loader_module' in the MLmodel file is not a module's name.")


def _named_paths(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each entry that names a file or folder of the package, with its value."""
    for flavor, entries in fields["flavors"].items():
        yield from _flavor_paths(f"flavors.{flavor}", entries)
    for key, names in (
        ("saved_input_example_info", ("artifact_path", "serving_input_path")),
        ("servery", ("example_output",)),
    ):
        entry = fields.get(key)
        if entry is not None and not isinstance(entry, dict):
            raise PackageInvalid(f"'{key}' in the MLmodel file is not a mapping.")
        for name in names:
            yield from _paths_in(f"{key}.{name}", (entry or {}).get(name))


def _flavor_paths(where: str, entries: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in _FLAVOR_PATHS:
        yield from _paths_in(f"{where}.{key}", entries.get(key))
    for key in _FLAVOR_PATH_LISTS:
        listed = entries.get(key) or []
        for item in listed if isinstance(listed, list) else [listed]:
            yield from _paths_in(f"{where}.{key}", item)
    artifacts = entries.get("artifacts")
    for name, artifact in artifacts.items() if isinstance(artifacts, dict) else ():
        path = artifact.get("path") if isinstance(artifact, dict) else artifact
        yield from _paths_in(f"{where}.artifacts.{name}.path", path)
    code = entries.get("model_code_path")
    if code is not None:
        # MLflow writes the path on the author's machine, and reads its last part.
        yield f"{where}.model_code_path", re.split(r"[/\\]", code)[-1] if isinstance(code, str) else code


def _paths_in(entry: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):  # As `env: {conda: …, virtualenv: …}`.
        for key, path in value.items():
            yield f"{entry}.{key}", path
    elif value is not None:
        yield entry, value


def _check_path(entry: str, path: Any) -> None:
    if not isinstance(path, str):
        raise PackageInvalid(f"'{entry}' in the MLmodel file is not a path.")
    try:
        check_relative_path(path)
    except PackageInvalid:
        shown = repr(path)[:200]
        raise PackageInvalid(f"'{entry}' in the MLmodel file leaves the package's folder: {shown}.") from None
    if BYTECODE_FOLDER in path.split("/"):
        raise PackageInvalid(f"'{entry}' in the MLmodel file names a file among bytecode, which belongs to no package.")


def _read_signature(entry: Any) -> Signature | None:
    try:
        return Signature.from_manifest(entry)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        # SchemaError is a ValueError whose text is a sentence about the entry; any other has none to show.
        cause = str(error) if isinstance(error, SchemaError) else "'signature' is not what MLflow writes"
        raise PackageInvalid(f"The MLmodel file has a broken signature: {cause}.") from None
