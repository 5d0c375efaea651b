"""A package's files to a pipeline: the model, and the components that turn inputs into its numbers.

The layout is MLflow's: ``model/`` (``pipeline/`` before 2.4), ``components/<name>/``, ``peft/``; which classes they are
of stands in the MLmodel file. The library's own class reads each. A class that it does not have lies in the package, or
in the repository that the package names, as code; it runs, as a pickle would.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from servery_worker.flavors import LoadError, check_there, framework, one_line

_AUTO_CLASSES = {
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
    "image_processor": "AutoImageProcessor",
    "processor": "AutoProcessor",
}


def load_pipeline(directory: str, entry: Mapping[str, Any]) -> Any:
    """The pipeline that the MLmodel's flavor ``transformers`` describes.

    Raises:
        LoadError: a file is missing or cannot be read, or the hub is needed and cannot be reached.
    """
    transformers = framework("transformers", needed_by="model")
    for key in ("task", "pipeline_model_type"):
        if not isinstance(entry.get(key), str):
            raise LoadError(f"The flavor transformers of the package's MLmodel file has no {key}.")
    dtype = _dtype(transformers, entry.get("torch_dtype"))
    parts = {"model": _load_model(transformers, directory, entry, dtype)}
    for name in (*(entry.get("components") or ()), *(["processor"] if "processor_type" in entry else [])):
        parts[name] = _load_component(transformers, directory, entry, name)
    if entry.get("peft_adaptor"):
        parts["model"] = _with_adapter(parts["model"], directory, str(entry["peft_adaptor"]))
    # The fifth release knows one framework only, and has no word for it.
    kind = {"framework": entry["framework"]} if entry.get("framework") and _major(transformers) < 5 else {}
    try:
        return transformers.pipeline(entry["task"], **parts, **kind, **dtype, **_device())
    except Exception as error:
        raise LoadError(f"The pipeline for {entry['task']!r} cannot be made: {one_line(error)}.") from error


def _load_model(transformers: Any, directory: str, entry: Mapping[str, Any], dtype: Mapping[str, Any]) -> Any:
    source, revision = _source(directory, entry)
    try:
        loader, trusted = _model_class(transformers, entry["pipeline_model_type"], source, revision)
        return loader.from_pretrained(source, **revision, **trusted, **dtype)
    except Exception as error:
        raise _failed(
            "model" if revision else _folder(entry), entry.get("source_model_name"), revision, error
        ) from error


def _source(directory: str, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The folder of the weights; or, for a package that holds none, the repository that it names and its revision."""
    base = entry.get("local_base_model_path")
    if base:
        if not os.path.isdir(base):
            raise LoadError(f"The package needs the base model in {base!r}, a folder that this machine does not have.")
        return str(base), {}
    if "source_model_revision" in entry:
        revision = entry["source_model_revision"]
        if not revision:
            raise LoadError("The package names the repository of its model, but no revision of it.")
        return str(entry.get("source_model_name")), {"revision": str(revision)}
    folder = _folder(entry)
    check_there(os.path.join(directory, folder), folder)
    return os.path.join(directory, folder), {}


def _folder(entry: Mapping[str, Any]) -> str:
    return str(entry.get("model_binary") or "pipeline")


def _model_class(transformers: Any, name: str, source: str, revision: Mapping[str, str]) -> tuple[Any, dict[str, bool]]:
    known = getattr(transformers, name, None)
    if known is not None:
        return known, {}
    config = transformers.AutoConfig.from_pretrained(source, **revision, trust_remote_code=True)
    written = config.architectures[0]
    if hasattr(transformers, written):
        return getattr(transformers, written), {}
    for auto_class, place in config.auto_map.items():
        if str(place).rpartition(".")[2] == written:
            return getattr(transformers, auto_class), {"trust_remote_code": True}
    raise LoadError(f"its config.json names no class that loads {written}")


def _load_component(transformers: Any, directory: str, entry: Mapping[str, Any], name: str) -> Any:
    if name not in _AUTO_CLASSES:
        raise LoadError(f"The package has a component {name!r}; expected {', '.join(_AUTO_CLASSES)}.")
    known = getattr(transformers, str(entry.get(f"{name}_type")), None)
    loader = known or getattr(transformers, _AUTO_CLASSES[name])
    folder = os.path.join("components", name)
    repository, revision = entry.get(f"{name}_name"), {}
    if repository and entry.get(f"{name}_revision"):
        source, revision = str(repository), {"revision": str(entry[f"{name}_revision"])}
    else:
        source = os.path.join(directory, folder)
        check_there(source, folder)
    try:
        return loader.from_pretrained(source, **revision, trust_remote_code=known is None)
    except Exception as error:
        raise _failed(folder, repository, revision, error) from error


def _failed(folder: str, repository: Any, revision: Mapping[str, str], error: Exception) -> LoadError:
    if not revision:
        return LoadError(f"The model in {folder!r} does not load: {one_line(error)}.")
    return LoadError(
        f"The package has no folder {folder!r} but names {repository!r} at revision {revision['revision']} on the "
        f"Hugging Face hub, which neither the hub nor the local cache gives: {one_line(error)}."
    )


def _with_adapter(model: Any, directory: str, folder: str) -> Any:
    peft = framework("peft", needed_by=folder)
    check_there(os.path.join(directory, folder), folder)
    try:
        return peft.PeftModel.from_pretrained(model, os.path.join(directory, folder))
    except Exception as error:
        raise LoadError(f"The adapter in {folder!r} does not load: {one_line(error)}.") from error


def _dtype(transformers: Any, written: Any) -> dict[str, Any]:
    """The keyword by which this release of the library is told the type of the weights."""
    if not written:
        return {}
    torch = framework("torch", needed_by="model")
    dtype = getattr(torch, str(written).rpartition(".")[2], None)
    if not isinstance(dtype, torch.dtype):
        raise LoadError(f"The model's torch_dtype is expected to be one of torch's; it is {written!r}.")
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    return {"dtype" if (major, minor) >= (4, 56) else "torch_dtype": dtype}


def _device() -> dict[str, int]:
    try:
        import torch
    except ImportError:  # The model is TensorFlow's, which finds its device by itself.
        return {}
    return {"device": 0} if torch.cuda.is_available() else {}


def _major(transformers: Any) -> int:
    return int(transformers.__version__.partition(".")[0])
