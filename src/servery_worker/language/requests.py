"""Bodies of OpenAI's API and of the generate extension, and the inputs that a model takes in their stead.

What a model takes is said by its task (MLmodel ``metadata.task``, or a flavor's ``inference_task``) or its signature: a
chat takes ``messages``, an agent of OpenAI's Responses takes ``input``, a completion takes ``prompt``, and any other
model takes texts.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from servery_worker.codecs.bodies import BadBody, Body, Form, read_llm
from servery_worker.codecs.json_text import load_json
from servery_worker.conversions import json_type
from servery_worker.schema import Column, ColumnType, Signature

_TASKS = {
    "llm/v1/chat": "messages",
    "agent/v1/chat": "messages",
    "agent/v2/chat": "messages",
    "agent/v1/responses": "input",
    "llm/v1/completions": "prompt",
    "llm/v1/embeddings": "input",
}
_OURS = ("model", "stream", "stream_options", "user", "encoding_format")
"""What the gateway and this module have dealt with; a model gets it where its signature names it."""


class Takes(str, Enum):
    """What a model takes."""

    MESSAGES = "messages"
    INPUT = "input"
    PROMPT = "prompt"
    TEXTS = "texts"
    ANYTHING = "anything"
    """Nothing is said of it."""


class Wanted(NamedTuple):
    """What a caller wants besides."""

    model: str
    id: str
    created: int
    """Seconds since 1970."""
    in_pieces: bool
    is_base64: bool
    """Embeddings as the bytes of 32-bit floats, in base64: what OpenAI's client asks for unless told otherwise."""


def task_of(mlmodel: Mapping[str, Any]) -> str | None:
    """The task that a package's MLmodel names, if any."""
    metadata = mlmodel.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("task"):
        return str(metadata["task"])
    for flavor in (mlmodel.get("flavors") or {}).values():
        config = flavor.get("config") if isinstance(flavor, Mapping) else None
        task = flavor.get("inference_task") if isinstance(flavor, Mapping) else None
        task = task or (config.get("task") if isinstance(config, Mapping) else None)
        if task:
            return str(task)
    return None


def takes(task: str | None, signature: Signature) -> Takes:
    if task in _TASKS:
        return Takes(_TASKS[task])
    names = {spec.name for spec in signature.inputs or ()}
    for found in (Takes.MESSAGES, Takes.PROMPT):
        if found.value in names:
            return found
    return Takes.TEXTS if signature.inputs else Takes.ANYTHING


def read_object(text: bytes | memoryview) -> dict[str, Any]:
    """A body's fields, without those that are null.

    Raises:
        BadBody: it is no JSON object.
    """
    try:
        value = load_json(text)
    except ValueError as error:
        raise BadBody(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadBody(f"The body is expected to be a JSON object; it is {json_type(value)}.")
    return {name: item for name, item in value.items() if item is not None}


def wanted(asked: Mapping[str, Any], prefix: str, created: int, *, in_pieces: bool) -> Wanted:
    id_ = f"{prefix}-{uuid.uuid4().hex}"
    is_base64 = asked.get("encoding_format") == "base64"
    return Wanted(str(asked.get("model", "")), id_, created, in_pieces, is_base64)


def chat_body(asked: dict[str, Any], kind: Takes, signature: Signature) -> Body:
    """What a chat is given; raises BadBody where it has no messages, or the model is no chat."""
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise BadBody("'messages' is expected to be a list of objects, at least one.")
    if kind in (Takes.PROMPT, Takes.TEXTS):
        raise BadBody("The model is no chat: it takes texts, not messages.")
    if signature.inputs:
        asked["messages"] = messages = [_plain(message) for message in messages]
    if kind is Takes.INPUT:
        asked["input"] = asked.pop("messages")
    return _as_object(asked, signature)


def prompt_body(asked: dict[str, Any], kind: Takes, signature: Signature) -> Body:
    """What a completion is given; raises BadBody where it has no prompt, or the model is a chat."""
    asked["prompt"] = _texts(asked.get("prompt"), "prompt")
    if kind in (Takes.MESSAGES, Takes.INPUT):
        raise BadBody("The model is a chat: it takes messages, not a prompt.")
    if kind is Takes.TEXTS:
        return _as_texts(asked.pop("prompt"), asked)
    if len(asked["prompt"]) == 1:
        [asked["prompt"]] = asked["prompt"]
    return _as_object(asked, signature)


def embedding_body(asked: dict[str, Any], kind: Takes, signature: Signature) -> Body:
    """What a model of vectors is given; raises BadBody where it has no texts, or the model is a chat."""
    asked["input"] = _texts(asked.get("input"), "input")
    if kind in (Takes.MESSAGES, Takes.PROMPT):
        raise BadBody("The model gives no embeddings: it takes no texts alone.")
    if kind is Takes.INPUT:
        return _as_object(asked, signature)
    return _as_texts(asked.pop("input"), asked)


def generate_body(asked: Mapping[str, Any], kind: Takes, signature: Signature) -> Body:
    """What any of them is given for the generate extension's one text; raises BadBody where there is none."""
    text, options = asked.get("text_input"), asked.get("parameters", {})
    if not isinstance(text, str):
        raise BadBody("'text_input' is expected to be a text.")
    if not isinstance(options, dict):
        raise BadBody("'parameters' is expected to be an object.")
    if kind is Takes.MESSAGES:
        return _as_object({"messages": [{"role": "user", "content": text}], **options}, signature)
    if kind is Takes.INPUT:
        return _as_object({"input": [{"role": "user", "content": text}], **options}, signature)
    if kind is Takes.PROMPT:
        return _as_object({"prompt": text, **options}, signature)
    return _as_texts([text], options)


def _as_object(asked: dict[str, Any], signature: Signature) -> Body:
    columns = {spec.name: spec for spec in signature.inputs or ()}
    params = {param.name for param in signature.params or ()}
    given = {name: item for name, item in asked.items() if name not in _OURS or name in columns or name in params}
    stop = columns.get("stop")
    if isinstance(stop, Column) and stop.type is ColumnType.ARRAY and isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    if "max_completion_tokens" in given and "max_tokens" in columns and "max_completion_tokens" not in columns:
        given.setdefault("max_tokens", given.pop("max_completion_tokens"))
    if signature.is_from_type_hint:
        return Body(Form.INPUTS, [given])
    return read_llm(given, signature, b"")


def _as_texts(texts: list[Any], options: Mapping[str, Any]) -> Body:
    return Body(Form.INPUTS, texts, {name: item for name, item in options.items() if name not in _OURS})


def _texts(value: Any, field: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadBody(f"'{field}' is expected to be a text or a list of texts.")
    return texts


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose parts are all texts, as one text: what a signature has for its content."""
    content = message.get("content")
    if not isinstance(content, list) or not all(isinstance(part, dict) and "text" in part for part in content):
        return message
    return {**message, "content": "".join(str(part["text"]) for part in content)}
