"""Chat models and agents of mlflow, loaded here: in pieces they say what mlflow has them say, and a chat completion is
made of whatever they answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest
import yaml

from servery_worker import stream_frames
from servery_worker.predictor import Predictor, load
from servery_worker.stream_frames import Opening
from servery_worker.streams import Stream
from servery_worker.wire import FRAME, Asked, Kind, MediaType, Options, Outcome
from tests.models import by_value
from tests.streams import models

CHATS = ("Chat", "AsyncChat", "Agent", "Responses", "Talk", "QuietChat")
SAID = {"messages": [{"role": "user", "content": "chunks 3"}]}
Package = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def _traced_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An agent that runs in this process would leave its traces in the current folder."""
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path_factory.mktemp('traces')}/mlflow.db")
    mlflow.tracing.disable()
    yield
    mlflow.tracing.enable()
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("chats")
    with by_value("tests.streams.plain"), by_value("tests.streams.models"):
        for name in CHATS:
            model = getattr(models, name)()
            mlflow.pyfunc.save_model(folder / name, python_model=model, pip_requirements=["mlflow"])
    return lambda name: folder / name


def loaded(folder: Path) -> Predictor:
    return load(str(folder), yaml.safe_load((folder / "MLmodel").read_text()))


def streamed(predictor: Predictor, body: dict[str, Any], media_type: MediaType = MediaType.JSON) -> list[Any]:
    """The events of a stream, as objects."""
    frames: list[bytes] = []
    stream = Stream(Opening(1, Asked(media_type, json.dumps(body).encode()), 1000), frames.append)
    if stream.ask(predictor):
        for chunk in _chunks(stream.chunks):
            assert stream.say(chunk)
        stream.finish()
    *events, end = ((FRAME.unpack_from(frame)[1], frame[FRAME.size :]) for frame in frames)
    assert end == (Kind.END, stream_frames.encode_end(1, Outcome.OK)[FRAME.size :]), end
    return [json.loads(stream_frames.decode_event(payload)[1]) for _, payload in events]


def _chunks(chunks: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [chunk async for chunk in chunks]

    return asyncio.run(collect()) if hasattr(chunks, "__aiter__") else list(chunks)


def asked(body: dict[str, Any], *, in_pieces: bool = False) -> Asked:
    options = Options.IN_PIECES if in_pieces else Options(0)
    return Asked(MediaType.CHAT, json.dumps({"model": "endpoint", **body}).encode(), options)


@pytest.mark.parametrize("name", ["Chat", "Agent"])
def test_a_model_says_in_pieces_what_mlflow_has_it_say(package: Package, name: str) -> None:
    theirs = list(mlflow.pyfunc.load_model(str(package(name))).predict_stream(SAID))
    ours = streamed(loaded(package(name)), SAID)
    for chunk in (*theirs, *ours):
        chunk.pop("created", None)
    assert len(ours) == 3
    assert ours == json.loads(json.dumps(theirs))


def test_an_agent_of_responses_says_in_pieces_what_mlflow_has_it_say(package: Package) -> None:
    body = {"input": SAID["messages"]}
    theirs = list(mlflow.pyfunc.load_model(str(package("Responses"))).predict_stream(body))
    assert streamed(loaded(package("Responses")), body) == json.loads(json.dumps(theirs))


@pytest.mark.parametrize("name", [name for name in CHATS if name != "QuietChat"])
def test_a_chat_completion_is_made_of_any_answer(package: Package, name: str) -> None:
    [reply], _ = loaded(package(name)).answer([asked(SAID)])
    assert reply.outcome is Outcome.OK, reply.body
    answer = json.loads(reply.body)
    assert (answer["object"], answer["model"]) == ("chat.completion", "small" if "Chat" in name else "endpoint")
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["message"]["content"] == "word0 word1 word2 "


@pytest.mark.parametrize("name", [name for name in CHATS if name != "QuietChat"])
def test_chunks_of_a_chat_completion_are_made_of_any_pieces(package: Package, name: str) -> None:
    chunks = streamed(loaded(package(name)), {"model": "endpoint", **SAID}, MediaType.CHAT)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["content"] for delta in deltas if "content" in delta] == ["word0 ", "word1 ", "word2 "]
    assert deltas[0]["role"] == "assistant"
    assert [chunk["choices"][0].get("finish_reason") for chunk in chunks] == [None, None, None, "stop"]


@pytest.mark.parametrize("name", ["Chat", "AsyncChat", "Agent", "Responses"])
def test_a_chat_generates_from_a_text(package: Package, name: str) -> None:
    events = streamed(loaded(package(name)), {"text_input": "chunks 2"}, MediaType.GENERATE)
    assert "".join(event["text_output"] for event in events) == "word0 word1 "


def test_a_chat_that_has_no_pieces_answers_in_one(package: Package) -> None:
    predictor = loaded(package("QuietChat"))
    assert predictor.stream is None
    [reply], _ = predictor.answer([asked(SAID, in_pieces=True)])
    chunk = json.loads(reply.body)
    assert chunk["object"] == "chat.completion.chunk"
    assert chunk["choices"][0]["delta"]["content"] == "CHUNKS 3"
    assert chunk["choices"][0]["finish_reason"] == "stop"
