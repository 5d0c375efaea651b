"""The inference tasks ``llm/v1/chat``, ``completions`` and ``embeddings``: OpenAI's objects in and out."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_CHAT = "llm/v1/chat"
_EMBEDDINGS = "llm/v1/embeddings"
_SUBJECTS = {_CHAT: "messages", "llm/v1/completions": "prompt"}
_OBJECTS = {_CHAT: "chat.completion", "llm/v1/completions": "text_completion"}


def task_of(entry: Mapping[str, Any]) -> str | None:
    """The inference task that the MLmodel's flavor names, if any."""
    task = entry.get("inference_task")
    return str(task) if task else None


def preparation_of(entry: Mapping[str, Any], pipeline: Any) -> Callable[[Any, Any], tuple[Any, Any]] | None:
    """What makes of a request and its options the pipeline's texts and options; None without an inference task."""
    task = task_of(entry)
    if task == _EMBEDDINGS:
        return _embedding_texts
    if task is None or task not in _SUBJECTS:
        return None

    def prepare(data: Any, options: Any) -> tuple[Any, Any]:
        subject = _SUBJECTS[task]
        given = _columns(data)
        if subject not in given:
            raise ValueError(f"A model of the task {task} is expected to be asked with {subject!r}, which is missing.")
        asked = given.pop(subject)
        chosen = {**options, **{name: cells[0] for name, cells in given.items() if cells[0] is not None}}
        _translate(chosen, pipeline, entry)
        return ([_prompt(messages, pipeline.tokenizer) for messages in asked] if task == _CHAT else asked), chosen

    return prepare


def _columns(data: Any) -> dict[Any, list[Any]]:
    import numpy as np
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        columns: dict[Any, list[Any]] = data.replace(np.nan, None).to_dict(orient="list")
        return columns
    if isinstance(data, dict):
        return {name: [value] for name, value in data.items()}
    raise TypeError(f"The input is expected to be an object or a table; it is a {type(data).__name__}.")


def _translate(options: dict[str, Any], pipeline: Any, entry: Mapping[str, Any]) -> None:
    """OpenAI's names to the library's. Token ids are asked for, because the usage is counted in them."""
    count, stop = options.pop("max_tokens", None), options.pop("stop", None)
    if count:
        options["max_new_tokens"] = count
    if stop:
        named = entry.get("source_model_name") is not None
        options["stopping_criteria"] = _stopping(stop, pipeline.tokenizer) if named else None
    options["return_tensors"] = True
    if options.get("return_full_text") is not None:
        options["return_full_text"] = None  # The pipeline takes only one of both.


def _stopping(stop: Any, fast: Any) -> list[Any]:
    """What ends the generation at one of the texts, with or without a space before it."""
    import transformers

    # The slow tokenizer cuts a text as it would be cut within a longer one.
    tokenizer = transformers.AutoTokenizer.from_pretrained(fast.name_or_path, use_fast=False)

    class EndsWith(transformers.StoppingCriteria):  # type: ignore[misc]
        def __init__(self, tokens: list[int]) -> None:
            self.tokens = tokens

        def __call__(self, input_ids: Any, scores: Any, **rest: Any) -> bool:  # noqa: ARG002
            return self.tokens in input_ids[:, -len(self.tokens) :].tolist()

    texts = [stop] if isinstance(stop, str) else stop
    forms = [form for text in texts for form in (text, f" {text}")]
    return [EndsWith(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(form))) for form in forms]


def _prompt(messages: Any, tokenizer: Any) -> str:
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ValueError(f"'messages' is expected to be a list of objects; it is a {type(messages).__name__}.")
    prompt: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return prompt


def completion(
    prompt: str, tokens: Sequence[int], pipeline: Any, entry: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """OpenAI's object for one generation; ``tokens`` begin with the prompt's."""
    task = str(task_of(entry))
    encoded = pipeline.tokenizer(
        prompt, return_tensors=_framework(pipeline), max_length=options.get("max_length"), add_special_tokens=False
    )
    before, total = encoded["input_ids"].shape[-1], len(tokens)
    ended = total > (options.get("max_length") or math.inf) or total - before == options.get("max_new_tokens")
    text = _without_prompt(prompt, tokens, pipeline)
    said = {"message": {"role": "assistant", "content": text}} if task == _CHAT else {"text": text}
    return {
        "id": str(uuid.uuid4()),
        "object": _OBJECTS[task],
        "created": int(datetime.datetime.now(datetime.timezone.utc).timestamp()),
        "model": entry.get("source_model_name", ""),
        "usage": {"prompt_tokens": before, "completion_tokens": total - before, "total_tokens": total},
        "choices": [{"index": 0, "finish_reason": "length" if ended else "stop", **said}],
    }


def _without_prompt(prompt: str, tokens: Sequence[int], pipeline: Any) -> str:
    encoded = pipeline.tokenizer(prompt, return_tensors=_framework(pipeline), add_special_tokens=False)
    return _decoded(tokens, pipeline)[len(_decoded(encoded["input_ids"][0], pipeline)) :].lstrip()


def _decoded(tokens: Any, pipeline: Any) -> str:
    text: str = pipeline.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=True)
    return text


def _framework(pipeline: Any) -> str:
    return str(getattr(pipeline, "framework", "pt"))


def _embedding_texts(data: Any, _options: Any) -> tuple[Any, dict[str, Any]]:
    """The texts of ``input``, one or a list of them; all else in the request goes to the pipeline."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        given: dict[Any, Any] = {name: data[name].tolist() for name in data.columns}
        texts = given.pop("input", None)
        texts = texts[0] if texts and isinstance(texts[0], list) else texts
        options = {name: cells[0] for name, cells in given.items()}
    elif isinstance(data, dict):
        options = {name: value for name, value in data.items() if name != "input"}
        texts = data.get("input")
        texts = [texts] if isinstance(texts, str) else texts
    else:
        raise TypeError(f"The input is expected to be an object or a table; it is a {type(data).__name__}.")
    if not isinstance(texts, list):
        raise ValueError("'input' is expected to be a text or a list of texts.")
    return texts, {**options, "return_tensors": True}


def embeddings(texts: Sequence[str], vectors: Sequence[Any], tokenizer: Any) -> dict[str, Any]:
    """OpenAI's object for the vectors of texts."""
    count = sum(len(tokenizer(text)["input_ids"]) for text in texts)
    found = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": found, "usage": {"prompt_tokens": count, "total_tokens": count}}
