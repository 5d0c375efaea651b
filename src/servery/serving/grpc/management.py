"""What is asked of the server and its models besides inference, answered in the words of the REST form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from servery.errors import Unavailable
from servery.serving.oip_pages import OipPages, config

Fields = Mapping[str, Any]
"""A message, by the names of its fields; a field that was not given is not there."""


class Management:
    """Both forms say the same, but for readiness: here what is not ready is no error."""

    def __init__(self, pages: OipPages) -> None:
        self._pages = pages

    def answers(self) -> dict[str, Callable[[Fields], Fields]]:
        """By method: from a request's fields to the response's. They raise ServeryError and Refusal."""
        pages = self._pages
        return {
            "ServerLive": lambda _: {"live": True},
            "ServerReady": lambda _: _readiness(pages.ready),
            "ServerMetadata": lambda _: pages.server(),
            "ModelReady": lambda asked: _readiness(lambda: pages.model_ready(*self._choices(asked))),
            "ModelMetadata": lambda asked: pages.metadata(*self._choices(asked)),
            "ModelConfig": lambda asked: {"config": config(*self._choices(asked))},
            "ModelStatistics": self._statistics,
            "RepositoryIndex": lambda asked: {"models": pages.index({"ready": asked.get("ready", False)})},
            "RepositoryModelLoad": lambda asked: pages.load(asked.get("model_name", ""), asked),
            "RepositoryModelUnload": lambda asked: pages.unload(asked.get("model_name", "")),
        }

    def _choices(self, asked: Fields) -> Any:
        return self._pages.choices(asked.get("name", ""), asked.get("version"))

    def _statistics(self, asked: Fields) -> Fields:
        """Without a name, of every model."""
        return self._pages.statistics(*self._choices(asked)) if "name" in asked else self._pages.all_statistics()


def _readiness(is_ready: Callable[[], Any]) -> Fields:
    try:
        is_ready()
    except Unavailable:
        return {"ready": False}
    return {"ready": True}
