"""What a model said, in whatever form: OpenAI's objects, MLflow's agents', or plain text.

Forms: OpenAI's (``choices`` with a ``message``, ``delta`` or ``text``), MLflow's ``ChatAgent`` (``messages`` or
``delta``), a Responses agent (``output`` items, events of a ``type``), a message (``content``), a text, or a list or a
table that holds one of these.
"""

from __future__ import annotations

from typing import Any

from servery_worker.codecs.answers import plain_answer
from servery_worker.codecs.json_text import Unencodable

_DELTAS = frozenset(("response.output_text.delta", "response.refusal.delta"))


def plain(output: Any) -> Any:
    """A model's output or chunk as plain objects; MLflow's and pydantic's own become dicts."""
    if hasattr(output, "model_dump"):
        return output.model_dump(exclude_none=True)
    if hasattr(output, "__dataclass_fields__") and hasattr(output, "to_dict"):
        return output.to_dict()
    return plain_answer(output)


def only(value: Any) -> Any:
    """The one thing that an answer to one input holds: a list of one, a table's row with one cell."""
    while True:
        if isinstance(value, list) and len(value) == 1:
            [value] = value
        elif isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), str):
            [name] = value
            if name == "content":
                return value
            value = value[name]
        else:
            return value


def text_of(value: Any) -> str:
    """The text of a whole answer, or of a chunk.

    Raises:
        Unencodable: there is none in it.
    """
    value = only(value)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict):
        for part in _parts(value):
            return part
    raise Unencodable(f"it holds no text, but a {type(value).__name__}")


def _parts(value: dict[str, Any]) -> list[str]:
    """The text of an object of a known form, alone in a list; else nothing."""
    if isinstance(value.get("choices"), list):
        return [_of_choice(value["choices"][0]) if value["choices"] else ""]
    if isinstance(value.get("messages"), list):
        return ["".join(str(one.get("content") or "") for one in value["messages"] if one.get("role") == "assistant")]
    if isinstance(value.get("output"), list):
        return [text_of_items(value["output"])]
    if isinstance(value.get("type"), str):
        return [str(value.get("delta", "")) if value["type"] in _DELTAS else ""]
    if isinstance(value.get("delta"), dict):
        return [str(value["delta"].get("content") or "")]
    return [str(value["content"] or "")] if "content" in value else []


def _of_choice(choice: dict[str, Any]) -> str:
    said = choice.get("message") or choice.get("delta") or {}
    return str(choice.get("text") or said.get("content") or "")


def text_of_items(items: list[Any]) -> str:
    """The text of the messages among the items of a Responses agent's output."""
    contents = [item.get("content") or () for item in items if isinstance(item, dict) and item.get("type") == "message"]
    return "".join(str(part.get("text", "")) for content in contents for part in content if isinstance(part, dict))
