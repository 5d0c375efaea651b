"""How one request ended, as a worker tells it: an answer, or a sentence that shows a caller nothing of this machine."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from servery_worker.codecs.bodies import BadBody, LacksLibrary
from servery_worker.codecs.json_text import Unencodable
from servery_worker.flavors import one_line
from servery_worker.schema import InvalidInput
from servery_worker.wire import Outcome

_MESSAGE_MAX = 500
_PATH = re.compile(r"(?<![\w.~/])/[\w.+@~-]+(?:/[\w.+@~-]+)+/?")


class Reply(NamedTuple):
    """How one request ended: the fields of a ``wire.Result``."""

    outcome: Outcome
    body: bytes
    coerced: tuple[str, ...] = ()
    head_bytes: int = 0


def refused(error: Exception) -> Reply:
    """The request could not be read, or breaks the signature."""
    outcome = Outcome.INVALID_INPUT if isinstance(error, InvalidInput) else Outcome.BAD_REQUEST
    if isinstance(error, LacksLibrary):
        outcome = Outcome.UNSUPPORTED
    expected = isinstance(error, (InvalidInput, BadBody))
    text = str(error) if expected else f"The input cannot be read: {scrubbed(error)}"
    return Reply(outcome, text[:_MESSAGE_MAX].encode(errors="replace"))


def raised(error: BaseException) -> Reply:
    """The model raised."""
    mlflow = sys.modules.get("mlflow.exceptions")
    if mlflow is not None and isinstance(error, mlflow.MlflowException):
        return Reply(Outcome.MODEL_REFUSED, f"{error.error_code}: {scrubbed(error)}".encode(errors="replace"))
    return Reply(Outcome.MODEL_RAISED, f"The model raised {scrubbed(error)}".encode(errors="replace"))


def unencodable(error: Exception, is_written: bool) -> Reply:
    """The model's answer has no form that the caller could be sent: JSON, or another that it asked for."""
    text = str(error) if isinstance(error, Unencodable) else one_line(error)
    form = "in the form that was asked for" if is_written else "as JSON"
    sentence = f"The model's answer cannot be written {form}: {text}."[:_MESSAGE_MAX]
    return Reply(Outcome.UNENCODABLE, sentence.encode(errors="replace"))


def scrubbed(error: BaseException) -> str:
    """An exception's type and message for callers: one line, no paths of this machine, not too long."""
    text = _PATH.sub("…", one_line(error))
    return text if len(text) <= _MESSAGE_MAX else text[: _MESSAGE_MAX - 1] + "…"
