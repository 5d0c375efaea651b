"""Completions: a model's answer, or each of its chunks, as OpenAI's ``text_completion``; and the generate extension's
``text_output``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from servery_worker.codecs.json_text import dump_json
from servery_worker.language.requests import Wanted
from servery_worker.language.texts import only, plain, text_of


def write(output: Any, wanted: Wanted) -> tuple[bytes, int]:
    """A whole answer: a choice for each prompt."""
    value = plain(output)
    single = only(value)
    if isinstance(single, dict) and isinstance(single.get("choices"), list):
        own = {name: item for name, item in single.items() if item is not None}
        return dump_json({**_completion([], wanted), **own}), 0
    texts = [text_of(item) for item in value] if isinstance(value, list) else [text_of(value)]
    return dump_json(_completion(texts, wanted, "stop")), 0


def _completion(texts: Sequence[str], wanted: Wanted, finish_reason: str | None = None) -> dict[str, Any]:
    choices = [
        {"index": index, "text": text, "finish_reason": finish_reason, "logprobs": None}
        for index, text in enumerate(texts)
    ]
    return {
        "id": wanted.id,
        "object": "text_completion",
        "created": wanted.created,
        "model": wanted.model,
        "choices": choices,
    }


class CompletionEvents:
    """The pieces of one completion; the last says why it ends."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._finished = False

    def event(self, chunk: Any) -> bytes | None:
        value = only(plain(chunk))
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            self._finished |= any(choice.get("finish_reason") for choice in value["choices"])
            own = {name: item for name, item in value.items() if item is not None}
            return dump_json({**_completion([], self._wanted), **own})
        return dump_json(_completion([text_of(value)], self._wanted))

    def last(self) -> bytes | None:
        return None if self._finished else dump_json(_completion([""], self._wanted, "stop"))


class GeneratedEvents:
    """The generate extension's events: what is new."""

    def __init__(self, id_: Any) -> None:
        self._id = {} if id_ is None else {"id": id_}

    def event(self, chunk: Any) -> bytes | None:
        return dump_json({"text_output": text_of(plain(chunk)), **self._id})

    def last(self) -> bytes | None:
        return None
