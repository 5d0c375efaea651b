"""What pipelines return, in the shape that MLflow's pyfunc gives it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from servery_worker.flavors.transformers import openai

_REPEATING_PIPELINES = frozenset({"InstructionTextGenerationPipeline"})
"""They write the prompt and two line feeds before their answer."""


class Asked(NamedTuple):
    """What an answer depends on, besides the pipeline's output."""

    entry: Mapping[str, Any]
    """The MLmodel's flavor."""
    pipeline: Any
    include_prompt: bool
    collapse_whitespace: bool
    options: Mapping[str, Any]
    """What the pipeline was called with."""


def field(name: str) -> Callable[[Any, Any, Asked], Any]:
    """The shape that keeps one field of each result."""
    return lambda raw, given, _asked: _tidy(_values(raw, name), given)


def _values(raw: Any, name: str) -> Any:
    """The values of a field, at any depth, in order."""
    if not isinstance(raw, list):
        return raw[name]
    found: list[Any] = []
    for item in raw:
        if isinstance(item, list):
            found += _values(item, name)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key == name:
                    found.append(value)
                elif isinstance(value, list) and all(isinstance(part, dict) for part in value):
                    found += _values(value, name)
    return found


def generated(raw: Any, given: Any, asked: Asked) -> Any:
    """Generated texts; of one prompt the first. Or, for ``llm/v1/…``, OpenAI's objects."""
    task = openai.task_of(asked.entry)
    name = "generated_token_ids" if task else "generated_text"
    lists = [item if isinstance(item, list) else [item] for item in raw]
    found = [result[name] for item in lists for result in item]
    one = bool(raw) and isinstance(raw[0], dict)
    if task:
        return [openai.completion(*pair, asked.pipeline, asked.entry, asked.options) for pair in zip(given, found)]
    if one:
        return _tidy(_trimmed(given, found[0], asked), given)
    return _tidy([_trimmed(*pair, asked) for pair in zip(given, found)], given)


def _trimmed(prompt: str, text: str, asked: Asked) -> str:
    repeats = asked.entry.get("instance_type") in _REPEATING_PIPELINES and text.startswith(f"{prompt}\n\n")
    if repeats and not asked.include_prompt:
        text = text[len(prompt) :].lstrip()
        text = text[2:].lstrip() if text.startswith("A:") else text
    return re.sub(r"\s+", " ", text).strip() if asked.collapse_whitespace else text


def likeliest(raw: Any, given: Any, _asked: Asked) -> Any:
    """The likeliest word for each mask: of a text with several masks a list."""
    if isinstance(raw[0], dict):
        return _tidy([raw[0]["token_str"]], given)
    words = [
        found[0]["token_str"] if isinstance(found[0], dict) else [mask[0]["token_str"] for mask in found]
        for found in raw
    ]
    return _tidy(words, given)


def entities(raw: Any, _given: Any, _asked: Asked) -> Any:
    """The entities of each text with commas between them; of a text without any, an empty text."""
    if raw and isinstance(raw[0], list):
        return _tidy([_joined(found) for found in raw], None)
    return _tidy(_joined(raw), None)


def _joined(found: list[Mapping[str, Any]]) -> str:
    return ",".join(entity["entity_group"] if "entity_group" in entity else entity["entity"] for entity in found)


def features(raw: Any, given: Any, asked: Asked) -> Any:
    """The first token's vector of the first text, whatever there is more; for ``llm/v1/embeddings`` one a text."""
    import numpy as np

    if openai.task_of(asked.entry):
        return openai.embeddings(given, [np.array(found[0][0]) for found in raw], asked.pipeline.tokenizer)
    return raw if isinstance(raw, np.ndarray) else np.array(raw[0][0])


def transcript(raw: Any, given: Any, asked: Asked) -> Any:
    """The texts; with timestamps of words or letters all that the pipeline says, as JSON in a text."""
    if asked.options.get("return_timestamps") in ("word", "char"):
        return _tidy(json.dumps(raw), given)
    return _tidy(_values(raw, "text"), given)


def table(raw: Any, _given: Any, _asked: Asked) -> Any:
    import pandas as pd

    return pd.DataFrame(raw)


def label_table(raw: Any, _given: Any, _asked: Asked) -> Any:
    """A row for each text and label."""
    import pandas as pd

    results = [raw] if isinstance(raw, dict) else raw
    return pd.DataFrame(
        [
            {"sequence": result["sequence"], "labels": label, "scores": score}
            for result in results
            for label, score in zip(result["labels"], result["scores"])
        ]
    )


def reply(raw: Any, _given: Any, _asked: Asked) -> Any:
    return raw.generated_responses[-1]


def _tidy(output: Any, given: Any) -> Any:
    """Texts without space around them; a lone text stands in a list, so that it can be a row."""
    stripped = _stripped(output, is_one=isinstance(given, str))
    return [stripped] if isinstance(stripped, str) else stripped


def _stripped(output: Any, *, is_one: bool) -> Any:
    if is_one and isinstance(output, list) and output:
        output = output[0]
    if isinstance(output, str):
        return output.strip()
    if isinstance(output, list):
        if all(isinstance(item, str) for item in output):
            return output[0].strip() if len(output) == 1 else [item.strip() for item in output]
        return [_stripped(item, is_one=is_one) for item in output]
    return output
