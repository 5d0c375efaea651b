"""The client's streams against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import servery
from servery.errors import AnswerLate, ModelFailed
from tests.models import by_value
from tests.servers import Server, serving


class Talk(servery.PythonModel):
    """Says its input letter by letter; ``!`` makes it raise, ``~`` go on for long."""

    def predict(self, model_input: Any, params: Any = None) -> Any:
        return ["".join(model_input)]

    def predict_stream(self, model_input: Any, params: Any = None) -> Iterator[Any]:
        import time

        for letter in str(model_input):
            if letter == "!":
                raise ValueError("not so loud")
            if letter == "~":
                time.sleep(0.2)
            yield letter


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("talk")
    with by_value(__name__):
        servery.save_model(Talk(), folder / "talk", input_example=["hello"], requirements=[])
    with serving(folder / "talk", folder / "home") as server:
        yield server


def test_the_parts_of_an_answer_come_one_by_one(talk: Server) -> None:
    with servery.Client(gateway=talk.url) as client:
        parts = client.predict_stream("talk", ["abc"])
        assert (list(parts), parts.model_version) == (["a", "b", "c"], "talk/1")


def test_a_model_that_raises_in_the_middle_raises_here_after_its_parts(talk: Server) -> None:
    with servery.Client(gateway=talk.url) as client:
        parts = client.predict_stream(None, ["a!b"])
        assert next(parts) == "a"
        with pytest.raises(ModelFailed, match="not so loud"):
            next(parts)


def test_closing_a_stream_ends_the_models_work_on_it(talk: Server) -> None:
    with servery.Client(gateway=talk.url) as client:
        with client.predict_stream(None, ["a" + "~" * 1000]) as parts:
            assert next(parts) == "a"
        # The worker has one thread for such a model: it answers whole requests again when it has stopped.
        assert client.predict(None, ["ab"], timeout_seconds=30.0) == ["ab"]


def test_a_stream_has_its_own_deadline(talk: Server) -> None:
    with servery.Client(gateway=talk.url) as client:
        parts = client.predict_stream(None, ["~" * 1000], stream_timeout_seconds=1.0)
        with pytest.raises(AnswerLate, match="within 1 s"):
            list(parts)


def test_the_twin_streams_alike_and_many_at_once(talk: Server) -> None:
    async def run() -> list[list[Any]]:
        async with servery.AsyncClient(gateway=talk.url) as client:

            async def whole(text: str) -> list[Any]:
                async with client.predict_stream(None, [text]) as parts:
                    return [part async for part in parts]

            return await asyncio.gather(*(whole(f"a{number}") for number in range(10)))

    assert asyncio.run(run()) == [["a", str(number)] for number in range(10)]
