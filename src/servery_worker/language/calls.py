"""One body of OpenAI's API or of the generate extension: what its model is given, and how it is answered."""

from __future__ import annotations

from typing import Any, NamedTuple

from servery_worker.codecs.bodies import Body
from servery_worker.codecs.json_text import dump_json
from servery_worker.events import Events
from servery_worker.language import chat, completions, embeddings
from servery_worker.language.requests import (
    chat_body,
    embedding_body,
    generate_body,
    prompt_body,
    read_object,
    takes,
    wanted,
)
from servery_worker.language.texts import plain, text_of
from servery_worker.schema import Signature
from servery_worker.wire import Asked, MediaType, Options

KINDS = frozenset((MediaType.CHAT, MediaType.COMPLETIONS, MediaType.EMBEDDINGS, MediaType.GENERATE))


class Conversation(NamedTuple):
    body: Body
    """In MLflow's form, to be read on as any other."""
    write: Any
    """``calls.Write``"""
    events: Events | None


def read(asked: Asked, task: str | None, signature: Signature, created: int) -> Conversation:
    """What a body asks, of the second ``created`` since 1970.

    Raises:
        BadBody: it cannot be understood, or is not what the model takes.
    """
    given, kind = read_object(asked.body), takes(task, signature)
    in_pieces = bool(asked.options & Options.IN_PIECES)
    if asked.media_type == MediaType.CHAT:
        told = wanted(given, "chatcmpl", created, in_pieces=in_pieces)
        body = chat_body(given, kind, signature)
        return Conversation(body, lambda output: chat.write(output, told), chat.ChatEvents(told))
    if asked.media_type == MediaType.COMPLETIONS:
        told = wanted(given, "cmpl", created, in_pieces=in_pieces)
        body = prompt_body(given, kind, signature)
        return Conversation(body, lambda output: completions.write(output, told), completions.CompletionEvents(told))
    if asked.media_type == MediaType.EMBEDDINGS:
        told = wanted(given, "embd", created, in_pieces=False)
        body = embedding_body(given, kind, signature)
        return Conversation(body, lambda output: embeddings.write(output, told), None)
    id_ = {"id": given["id"]} if "id" in given else {}

    def write(output: Any) -> tuple[bytes, int]:
        return dump_json({"text_output": text_of(plain(output)), **id_}), 0

    return Conversation(generate_body(given, kind, signature), write, completions.GeneratedEvents(given.get("id")))
