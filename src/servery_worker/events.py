"""What a stream tells its caller: from a model's chunks to the texts of events, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from servery_worker.codecs.answers import plain_answer
from servery_worker.codecs.json_text import dump_bare, dump_json
from servery_worker.wire import Options


class Events(Protocol):
    """One stream's; it may keep what was said so far. Raises Unencodable where a chunk has no form."""

    def event(self, chunk: Any) -> bytes | None:
        """The event for a chunk; None where the protocol has nothing to say of it."""

    def last(self) -> bytes | None:
        """What is still to be said when the model has no more chunks."""


class PlainEvents:
    """A chunk as MLflow would write it, or as ``write`` does: an event for each."""

    def __init__(self, write: Callable[[Any], tuple[bytes, int]] | None, options: int) -> None:
        self._write = write
        self._dump = dump_bare if options & Options.BARE_NAN else dump_json

    def event(self, chunk: Any) -> bytes | None:
        if self._write is not None:
            return self._write(chunk)[0]
        return self._dump(plain_answer(chunk))

    def last(self) -> bytes | None:
        return None
