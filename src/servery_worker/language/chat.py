"""Chat completions: a model's answer as OpenAI's ``chat.completion``, its chunks as ``chat.completion.chunk``."""

from __future__ import annotations

from typing import Any

from servery_worker.codecs.json_text import dump_json
from servery_worker.language.requests import Wanted
from servery_worker.language.texts import only, plain, text_of

_NOT_OF_A_MESSAGE = ("id", "name", "attachments")
"""What MLflow's agents keep in a message besides."""


def write(output: Any, wanted: Wanted) -> tuple[bytes, int]:
    """A whole answer, as one object; as one chunk where the caller reads pieces."""
    answer = _answer(only(plain(output)), wanted)
    if wanted.in_pieces:
        for choice in answer["choices"]:
            choice["delta"] = choice.pop("message", {})
        answer["object"] = "chat.completion.chunk"
    return dump_json(answer), 0


def _answer(value: Any, wanted: Wanted) -> dict[str, Any]:
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return _named(value, "chat.completion", wanted)
    finish_reason, usage = "stop", None
    if isinstance(value, dict):
        finish_reason, usage = value.get("finish_reason") or "stop", value.get("usage")
    choice = {"index": 0, "message": _message(value), "finish_reason": finish_reason}
    return _named({"choices": [choice], **({"usage": usage} if usage else {})}, "chat.completion", wanted)


def _message(value: Any) -> dict[str, Any]:
    said = value
    if isinstance(value, dict) and isinstance(value.get("messages"), list) and value["messages"]:
        said = value["messages"][-1]
    if isinstance(said, dict) and "content" in said:
        return {"role": "assistant", **_of_message(said)}
    return {"role": "assistant", "content": text_of(value)}


def _of_message(said: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in said.items() if name not in _NOT_OF_A_MESSAGE and item is not None}


def _named(value: dict[str, Any], kind: str, wanted: Wanted) -> dict[str, Any]:
    """With an id, a time and the model's name, where the model has not given them itself."""
    own = {name: item for name, item in value.items() if item is not None}
    return {"id": wanted.id, "created": wanted.created, "model": wanted.model, **own, "object": kind}


class ChatEvents:
    """The chunks of one completion. The first says who speaks, the last why it ends."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._begun = False
        self._finished = False

    def event(self, chunk: Any) -> bytes | None:
        value = only(plain(chunk))
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            self._finished |= any(choice.get("finish_reason") for choice in value["choices"])
            self._begun = True
            return self._dump(value)
        if isinstance(value, dict) and isinstance(value.get("delta"), dict):
            return self._chunk(_of_message(value["delta"]), value.get("finish_reason"), value.get("usage"))
        text = text_of(value)
        if not text and isinstance(value, dict):
            return None  # An event of an agent that is no text: a tool call, an item that is done.
        return self._chunk({"content": text}, None, None)

    def last(self) -> bytes | None:
        return None if self._finished else self._chunk({}, "stop", None)

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None, usage: Any) -> bytes:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", **delta}
        self._finished |= finish_reason is not None
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return self._dump({"choices": [choice], "usage": usage})

    def _dump(self, value: dict[str, Any]) -> bytes:
        return dump_json(_named(value, "chat.completion.chunk", self._wanted))
