"""Saving a model: an MLmodel directory that a worker serves and a stock mlflow loads.

Everything is written into a folder beside the target, tried there, and renamed at the end: an interrupted save
leaves nothing under the target's name.
"""

from __future__ import annotations

import copy
import datetime
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from servery.clock import Clock, SystemClock
from servery.config import PackageSources, package_sources
from servery.errors import AlreadyExists, InvalidInput, PackageInvalid, PredictFailed
from servery.package import environment, flavors
from servery.package.example import EXAMPLE_OUTPUT_FILE, INPUT_EXAMPLE_FILE, SERVING_EXAMPLE_FILE, Example, make_example
from servery.package.flavors.saved import Saved
from servery.package.lock import try_lock, write_lock
from servery.package.mlmodel import MLMODEL_FILE, parse_mlmodel
from servery.package.seal import seal
from servery.package.signature import as_rows, infer_signature
from servery_worker.flavors import Loaded, one_line
from servery_worker.predictor import Predictor, make_predictor
from servery_worker.proof import first_difference
from servery_worker.schema import Column, SchemaError, Signature
from servery_worker.schema import InvalidInput as BreaksSignature
from servery_worker.wire import Asked, MediaType, Outcome

MLFLOW_FORMAT_VERSION = "3.17.2"
"""The MLflow release whose format is written; stock clients read it from ``mlflow_version``."""


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    input_example: Any = None,
    signature: Any = None,
    requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    lock: bool | None = None,
) -> None:
    """Save ``model`` as a package in the new folder ``path``.

    Args:
        model: a scikit-learn estimator or pipeline, a PythonModel, an object with ``predict``, or a function.
        path: the folder; it may exist when it is empty.
        input_example: an input that the model can answer, or a tuple of one and a dict of params. From it come the
            signature and the recorded answer that proves each worker.
        signature: given instead of inferred: a Signature, or what ``mlflow.models.infer_signature`` gives.
        requirements: pip requirement lines, used as given. Without them the package is loaded in a fresh process,
            which answers the example again: what it imports is what the model requires.
        metadata: kept in the MLmodel file for people and programs; plain JSON types.
        lock: resolve the requirements, and keep every release that they lead to with its hashes in
            ``requirements.lock``, so that the model's environment is the same in a year. By default it is tried, unless
            UV_OFFLINE is set, and a warning is logged where it fails; True raises then, and False does not try.

    Raises:
        AlreadyExists: ``path`` is a file, or a folder with something in it.
        InvalidInput: the model, the example, the signature, the requirements or the metadata cannot be saved.
        PredictFailed: the model raises on its example.
        LoadFailed: in that fresh process the model does not load, or answers otherwise.
        EnvironmentFailed: ``lock`` is True, and the requirements cannot be resolved.
    """
    write_package(
        model,
        Path(path).absolute(),
        input_example=input_example,
        signature=signature,
        requirements=requirements,
        metadata=metadata,
        lock=lock,
        sources=package_sources(),
        clock=SystemClock(),
    )


def write_package(
    model: Any,
    target: Path,
    *,
    input_example: Any,
    signature: Any,
    requirements: Sequence[str] | None,
    metadata: Mapping[str, Any] | None,
    lock: bool | None,
    sources: PackageSources,
    clock: Clock,
) -> None:
    """As :func:`save_model`, at the time that ``clock`` tells."""
    lines = None if requirements is None else environment.check_requirements(requirements)
    if not isinstance(metadata, Mapping | None):
        raise InvalidInput("metadata", expected="a dict of plain JSON types", got=f"a {type(metadata).__name__}")
    example = None if input_example is None else make_example(input_example)
    given = _read_given(signature)
    with _staged(target) as folder:
        saved = flavors.save(model, folder)
        fields = _describe(saved.entries, clock, metadata)
        if example is not None:
            (folder / INPUT_EXAMPLE_FILE).write_bytes(example.input_json)
            (folder / SERVING_EXAMPLE_FILE).write_bytes(example.serving_json)
            fields["saved_input_example_info"] = dict(example.info)
        fields["model_size_bytes"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        _describe_signature(fields, given, example, takes_lists=saved.takes_lists)
        if example is not None:
            _record_example(folder, fields, saved, example, infer_outputs=given is None)
        text = _encode(fields)
        (folder / MLMODEL_FILE).write_bytes(text)
        if lines is None:
            lines = environment.infer_requirements(folder, parse_mlmodel(text).fields, name=target.name)
        environment.write_environment(folder, lines)
        if lock is not False:
            (write_lock if lock else try_lock)(folder, sources)
        seal(folder)


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that becomes it when the block ends well, and is removed when it does not."""
    folder = target.with_name(f".{target.name}.{uuid.uuid4().hex}.saving")
    try:
        is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
        if target.is_symlink() or not is_free:
            raise AlreadyExists("The path", str(target))
        folder.mkdir(parents=True)
    except (OSError, ValueError) as error:  # A ValueError: a NUL in the path.
        got = f"{target}: {getattr(error, 'strerror', error)}"
        raise InvalidInput("path", expected="a folder that can be made and written", got=got) from error
    try:
        yield folder
        try:
            folder.rename(target)
        except OSError as error:
            # Another save was faster: a folder with something in it is never replaced by a rename.
            raise AlreadyExists("The path", str(target)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_given(signature: Any) -> Signature | None:
    if signature is None or isinstance(signature, Signature):
        return signature
    entry = signature.to_dict() if hasattr(signature, "to_dict") else signature
    try:
        return Signature.from_manifest(entry)
    except SchemaError as error:
        raise InvalidInput("signature", expected="a signature such as infer_signature gives", got=str(error)) from None


def _infer_inputs(example: Example | None) -> Signature | None:
    if example is None:
        return None
    try:
        return infer_signature(example.data, params=example.params)
    except InvalidInput as error:
        field = "input_example" if error.field == "inputs" else error.field
        raise InvalidInput(field, expected=error.expected, got=error.got) from None


def _describe(entries: dict[str, Any], clock: Clock, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """The MLmodel's fields, without what the example tells."""
    entries["python_function"] |= {
        "env": dict(environment.ENVIRONMENT_FILES),
        "python_version": platform.python_version(),
    }
    created = datetime.datetime.fromtimestamp(clock.now_ms() / 1000, datetime.UTC)
    fields: dict[str, Any] = {
        "flavors": entries,
        "mlflow_version": MLFLOW_FORMAT_VERSION,
        "model_uuid": uuid.uuid4().hex,
        "utc_time_created": created.strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    if metadata is not None:
        fields["metadata"] = dict(metadata)
    return fields


def _describe_signature(
    fields: dict[str, Any], given: Signature | None, example: Example | None, *, takes_lists: bool
) -> None:
    signature = given or _infer_inputs(example)
    if signature is not None:
        fields["signature"] = signature.to_manifest()
        fields["is_signature_from_type_hint"] = False
        fields["type_hint_from_example"] = takes_lists and _is_given_as_list(signature, example)


def _is_given_as_list(signature: Signature, example: Example | None) -> bool:
    """Whether the model takes a list, as its example is one, and not the frame that MLflow makes of a list.

    A text pipeline needs this: over a frame it would iterate the columns' names.
    """
    inputs = signature.inputs or ()
    unnamed = len(inputs) == 1 and isinstance(inputs[0], Column) and inputs[0].name is None
    return unnamed and example is not None and example.is_list_of_scalars


def _encode(fields: Mapping[str, Any]) -> bytes:
    """The MLmodel file; checked by our own reader, so that nothing is saved that cannot be read."""
    try:
        text = yaml.safe_dump(dict(fields), default_flow_style=False).encode()
        parse_mlmodel(text)
    except (yaml.YAMLError, PackageInvalid) as error:
        # All else in the file is made here.
        raise InvalidInput("metadata", expected="a dict of plain JSON types", got=str(error)) from None
    return text


def _record_example(
    folder: Path, fields: dict[str, Any], saved: Saved, example: Example, *, infer_outputs: bool
) -> None:
    """Predict the example: from it come the signature's outputs and the recorded answer.

    This asks the model that is in memory: loading its pickle here would give its classes a second life in the
    author's process. The fresh process that finds the requirements loads what was written, and answers again.
    """
    predictor = make_predictor(saved.flavor, Loaded(saved.predict, row_wise=None), fields)
    outputs = _predict(predictor, example)
    if infer_outputs:
        inputs = (predictor.signature.inputs if predictor.signature else None) or (None,)
        outputs = as_rows(outputs) if isinstance(inputs[0], Column) else outputs
        fields["signature"]["outputs"] = infer_signature(None, outputs).to_manifest()["outputs"]
    # A model that answers differently each time has no answer that could prove a worker.
    answer = _answer(predictor, example)
    if first_difference(json.loads(answer), json.loads(_answer(predictor, example))) is None:
        (folder / EXAMPLE_OUTPUT_FILE).write_bytes(answer)
        fields["servery"] = {"example_output": EXAMPLE_OUTPUT_FILE}


def _predict(predictor: Predictor, example: Example) -> Any:
    try:
        # A copy, because a model may change what it is given.
        params = None if example.params is None else dict(example.params)
        return predictor.predict(copy.deepcopy(example.data), params)
    except BreaksSignature as error:
        expected = "an input that fits the signature"
        raise InvalidInput("input_example", expected=expected, got=str(error)) from error
    except (Exception, SystemExit) as error:
        raise PredictFailed(f"The model raised on its input example: {one_line(error)}") from error


def _answer(predictor: Predictor, example: Example) -> bytes:
    [(outcome, body, *_)], _ = predictor.answer([Asked(MediaType.JSON, example.serving_json)])
    if outcome != Outcome.OK:
        cause = body.decode(errors="replace")
        raise PredictFailed(f"The model does not answer its input example as a request: {cause}")
    return body
