"""Pipelines of the transformers library, with all their weights, as ``mlflow.transformers`` saves them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from servery.errors import InvalidInput
from servery.package.flavors.saved import Saved, is_a
from servery_worker.flavors.transformers.prediction import predictor_of, task_of

_COMPONENTS = ("feature_extractor", "tokenizer", "image_processor")
_MODEL_FOLDER = "model"


def takes(model: Any) -> bool:
    return is_a(model, "transformers.pipelines.base.Pipeline")


def save(model: Any, folder: Path) -> Saved:
    import transformers

    if task_of(model) is None:
        raise InvalidInput("model", expected="a pipeline of a task that MLflow serves", got=f"a {type(model).__name__}")
    if is_a(model.model, "peft.PeftModel"):
        expected = "a pipeline of a whole model; merge_and_unload() gives one of an adapter and its base"
        raise InvalidInput("model", expected=expected, got=f"a {type(model.model).__name__}")
    components = [name for name in _COMPONENTS if getattr(model, name, None) is not None]
    model.model.save_pretrained(folder / _MODEL_FOLDER)
    for name in components:
        getattr(model, name).save_pretrained(folder / "components" / name)
    entry = {
        "code": None,
        "components": components,
        "instance_type": type(model).__name__,
        "model_binary": _MODEL_FOLDER,
        "pipeline_model_type": type(model.model).__name__,
        "source_model_name": model.model.name_or_path,
        "task": model.task,
        "transformers_version": transformers.__version__,
        **{f"{name}_type": type(getattr(model, name)).__name__ for name in components},
        **_numbers(model),
    }
    options = _call_options(model, components)
    general = {"loader_module": "mlflow.transformers", **({"config": options} if options else {})}
    entries: dict[str, dict[str, Any]] = {"python_function": general, "transformers": entry}
    return Saved("transformers", entries, predictor_of(model, entry, options, None))


def _numbers(pipeline: Any) -> dict[str, str]:
    """The framework, which the fifth release no longer names, and the type of the weights."""
    framework, dtype = getattr(pipeline, "framework", None), getattr(pipeline.model, "dtype", None)
    found = {"framework": framework, "torch_dtype": str(dtype) if is_a(dtype, "torch.dtype") else None}
    return {name: value for name, value in found.items() if value}


def _call_options(pipeline: Any, components: Iterable[str]) -> dict[str, Any]:
    """What the pipeline was told when it was made and gives to each of its calls, such as ``max_new_tokens``.

    A pipeline's files do not hold it, so a stock mlflow forgets it; as the package's ``config`` it is given with each
    call. It shows against a pipeline of the same parts that was told nothing. The library keeps it in the form in which
    its steps take it; a call takes most of it in this form, too.
    """
    import transformers

    parts = {name: getattr(pipeline, name) for name in ("model", *components)}
    untold = _settings(transformers.pipeline(pipeline.task, **parts, device=pipeline.device))
    told = {name: value for name, value in _settings(pipeline).items() if value != untold.get(name)}
    return {name: value for name, value in told.items() if _is_plain(value)}


def _settings(pipeline: Any) -> dict[str, Any]:
    generation = getattr(pipeline, "generation_config", None)
    found = {} if generation is None else generation.to_dict()
    for step in (pipeline._preprocess_params, pipeline._forward_params, pipeline._postprocess_params):
        found |= {name: value.value if isinstance(value, Enum) else value for name, value in step.items()}
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)
