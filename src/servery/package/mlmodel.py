"""The MLmodel file of a package, read as data: nothing that it names is opened, imported or unpickled.

The form is MLflow's (``mlflow/models/model.py``): YAML with ``flavors``, ``signature`` and descriptive fields.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from servery.errors import PackageInvalid
from servery.package.manifest import check_relative_path
from servery_worker.schema import SchemaError, Signature

MLMODEL_FILE = "MLmodel"
MLMODEL_BYTES_MAX = 1 << 20
DEPTH_MAX = 32
NODES_MAX = 50_000
"""Mappings, lists and scalars, with each alias counted as all that it repeats."""

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_FLAVOR_PATHS = (
    *("data", "code", "env", "model_path", "pickled_model"),
    *("model_data", "python_model", "model_binary", "saved_model_dir"),
)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
        PackageInvalid: it is missing, is not what MLflow writes, or names something outside the folder.
    """
    file = folder / MLMODEL_FILE
    if not folder.is_dir():
        raise PackageInvalid(f"The model folder '{folder}' does not exist.")
    if file.is_symlink() or not file.is_file():
        raise PackageInvalid(f"The folder '{folder}' is no model package: it has no MLmodel file.")
    with file.open("rb") as opened:
        mlmodel = parse_mlmodel(opened.read(MLMODEL_BYTES_MAX + 1))
    root = folder.resolve()
    for entry, path in _named_paths(mlmodel.fields):
        if not (root / path).resolve().is_relative_to(root):
            raise PackageInvalid(f"'{entry}' in the MLmodel file is a link that leaves the package's folder.")
    return mlmodel


def parse_mlmodel(text: bytes) -> MLmodel:
    """Check the bytes of an MLmodel file.

    Raises:
        PackageInvalid: it is too large or too deep, no plain YAML mapping, has no python_function flavor, a broken
            signature, or a path that leaves the package's folder.
    """
    fields = _load_yaml(text)
    if not isinstance(fields, dict):
        raise PackageInvalid("The MLmodel file is not a mapping of fields.")
    _check_flavors(fields.get("flavors"))
    for entry, path in _named_paths(fields):
        _check_path(entry, path)
    return MLmodel(fields, _read_signature(fields.get("signature")))


def _load_yaml(text: bytes) -> Any:
    if len(text) > MLMODEL_BYTES_MAX:
        raise PackageInvalid(f"The MLmodel file is larger than {MLMODEL_BYTES_MAX} bytes.")
    try:
        decoded = text.decode("utf-8")
        _check_size(decoded)
        return _plain(yaml.load(decoded, Loader=_Loader), "the top")  # noqa: S506  # A safe loader, the C one if built.
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, KeyError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1})"
        raise PackageInvalid(f"The MLmodel file is not plain YAML{where}.") from None


def _check_size(text: str) -> None:
    """Refuse deep nesting and alias bombs from the parser's events, before anything is built."""
    open_nodes: list[tuple[str | None, int]] = []  # The anchor of each open collection and the nodes before it.
    sizes: dict[str, int] = {}
    nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
            nodes += 1
            if event.anchor is not None:
                sizes[event.anchor] = NODES_MAX + 1  # Until it ends: an alias inside itself would repeat without end.
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        if len(open_nodes) > DEPTH_MAX or nodes > NODES_MAX:
            raise PackageInvalid(
                f"The MLmodel file holds more than {DEPTH_MAX} levels or {NODES_MAX} entries, aliases counted in full."
            )


def _plain(value: Any, where: str) -> Any:
    """The same value in JSON types: dates become text, and not-a-number becomes null."""
    if isinstance(value, dict):
        if not all(isinstance(key, str | int | float | None) for key in value):
            raise PackageInvalid(f"The MLmodel file has a key under {where} that is not text.")
        return {_plain(str(key), where): _plain(item, f"'{key}'") for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, where) for item in value]
    if isinstance(value, str):
        value.encode()  # A lone surrogate has no form in JSON; the ValueError is caught above.
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    if isinstance(value, datetime.date):
        return str(value)
    raise PackageInvalid(f"The MLmodel file has a value under {where} that is no text, number, list or mapping.")


def _check_flavors(flavors: Any) -> None:
    if not isinstance(flavors, dict) or not all(isinstance(flavor, dict) for flavor in flavors.values()):
        raise PackageInvalid("'flavors' in the MLmodel file is not a mapping of flavors.")
    if "python_function" not in flavors:
        raise PackageInvalid("The MLmodel file has no python_function flavor, which serving needs.")
    module = flavors["python_function"].get("loader_module")
    if not isinstance(module, str) or not _MODULE.fullmatch(module):
        raise PackageInvalid("'flavors.python_function.loader_module' in the MLmodel file is not a module's name.")


def _named_paths(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each entry that names a file or folder of the package, with its value.

    ``model_code_path`` is not among them: MLflow writes the path on the author's machine and reads its last part.
    """
    for flavor, entries in fields["flavors"].items():
        for key in _FLAVOR_PATHS:
            yield from _paths_in(f"flavors.{flavor}.{key}", entries.get(key))
        artifacts = entries.get("artifacts")
        for name, artifact in artifacts.items() if isinstance(artifacts, dict) else ():
            path = artifact.get("path") if isinstance(artifact, dict) else artifact
            yield from _paths_in(f"flavors.{flavor}.artifacts.{name}.path", path)
    for key, names in (
        ("saved_input_example_info", ("artifact_path", "serving_input_path")),
        ("servery", ("example_output",)),
    ):
        entry = fields.get(key)
        if entry is not None and not isinstance(entry, dict):
            raise PackageInvalid(f"'{key}' in the MLmodel file is not a mapping.")
        for name in names:
            yield from _paths_in(f"{key}.{name}", (entry or {}).get(name))


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


def _read_signature(entry: Any) -> Signature | None:
    try:
        return Signature.from_manifest(entry)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        # SchemaError is a ValueError whose text is a sentence about the entry; any other has none to show.
        cause = str(error) if isinstance(error, SchemaError) else "'signature' is not what MLflow writes"
        raise PackageInvalid(f"The MLmodel file has a broken signature: {cause}.") from None
