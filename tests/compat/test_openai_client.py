"""OpenAI's own client, unmodified, against the gateway: chats, completions, embeddings and models."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import mlflow.pyfunc
import openai
import pytest

import servery
from tests.models import by_value
from tests.servers import Both, both_planes
from tests.streams import models, plain

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("packages")
    with by_value("tests.streams.plain"), by_value("tests.streams.models"):
        mlflow.pyfunc.save_model(folder / "chat", python_model=models.Chat(), pip_requirements=["mlflow"])
        servery.save_model(plain.Words(), folder / "words", input_example=["chunks 2"], requirements=["pandas"])
        servery.save_model(plain.Vectors(), folder / "vectors", input_example=["abc", "d"], requirements=["pandas"])
    with both_planes(tmp_path_factory.mktemp("planes") / "home") as running:
        with servery.Client(running.up.url) as client:
            for name in ("chat", "words", "vectors"):
                client.register(folder / name, name=name)
                client.deploy(name, f"models:/{name}/1")
        yield running


@pytest.fixture
def client(both: Both) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{both.gateway_url}/v1", api_key="none", max_retries=0) as made:
        yield made


def said(text: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


# Chats.


def test_a_chat_is_completed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=said("chunks 2"), temperature=0.2, stop="\n")
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == "word0 word1 "
    assert answer.choices[0].finish_reason == "stop"


def test_a_chat_is_streamed(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="chat", messages=said("chunks 3"), stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["word0 ", "word1 ", "word2 ", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk.object, chunk.model) for chunk in chunks} == {("chat.completion.chunk", "chat")}
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_chat_is_streamed_to_the_asynchronous_client(both: Both) -> None:
    async with openai.AsyncOpenAI(base_url=f"{both.gateway_url}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(model="chat", messages=said("chunks 2"), stream=True)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["word0 ", "word1 ", None]


def test_the_clients_own_helper_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="chat", messages=said("chunks 2")) as stream:
        assert stream.get_final_completion().choices[0].message.content == "word0 word1 "


def test_a_message_may_be_of_parts(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": [{"type": "text", "text": "chunks 1"}]}]
    )
    assert answer.choices[0].message.content == "word0 "


def test_a_failure_in_the_midst_of_a_stream_reaches_the_caller(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="chat", messages=said("chunks 3 fail 1"), stream=True)
    assert next(stream).choices[0].delta.content == "word0 "
    with pytest.raises(openai.APIError, match="no words for this"):
        list(stream)


# Completions and embeddings.


def test_prompts_are_completed(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="words", prompt=["chunks 1", "chunks 2"], max_tokens=5)
    assert answer.object == "text_completion"
    assert [choice.text for choice in answer.choices] == ["word0 ", "word0 word1 "]


def test_a_completion_is_streamed(client: openai.OpenAI) -> None:
    chunks = list(client.completions.create(model="words", prompt="chunks 2", stream=True))
    assert [chunk.choices[0].text for chunk in chunks] == ["word0 ", "word1 ", ""]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_texts_become_vectors(client: openai.OpenAI) -> None:
    # The client asks for base64 unless it is told otherwise, and reads that by itself.
    answer = client.embeddings.create(model="vectors", input=["banana", "x"])
    assert [(item.index, item.embedding) for item in answer.data] == [(0, [6, 3]), (1, [1, 0])]
    answer = client.embeddings.create(model="vectors", input=["banana", "x"], encoding_format="float")
    assert [item.embedding for item in answer.data] == [[6, 3], [1, 0]]


def test_one_text_becomes_one_vector(client: openai.OpenAI) -> None:
    assert client.embeddings.create(model="vectors", input="aa").data[0].embedding == [2, 2]


# Models.


def test_endpoints_are_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"chat", "words", "vectors"}
    assert client.models.retrieve("words").id == "words"


# Errors.


def test_a_model_that_is_not_there_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="none", messages=said("hello"))
    assert caught.value.code == "model_not_found"
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


def test_what_cannot_be_understood_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'messages'") as caught:
        client.chat.completions.create(model="chat", messages=[])
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError, match="'input'"):
        client.embeddings.create(model="vectors", input=[[1, 2]])


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_of_another_kind_says_so(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="no chat"):
        client.chat.completions.create(model="words", messages=said("chunks 1"), stream=stream)
    with pytest.raises(openai.BadRequestError, match="is a chat"):
        client.completions.create(model="chat", prompt="chunks 1", stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_raises_is_a_server_error(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.InternalServerError, match="no words for this"):
        client.chat.completions.create(model="chat", messages=said("fail 0"), stream=stream)


def test_a_deadline_that_passes_is_told(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model="chat", messages=said("pause 2"), stream=True, extra_headers={"X-Request-Timeout-Ms": "100"}
        )
    assert caught.value.status_code == 504


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"messages": []}', b'{"model": 3}'])
def test_a_body_without_a_model_is_a_bad_request(both: Both, body: bytes) -> None:
    response = httpx.post(f"{both.gateway_url}/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_another_method_or_path_is_refused_in_the_same_form(both: Both) -> None:
    assert httpx.get(f"{both.gateway_url}/v1/chat/completions").status_code == 405
    assert httpx.post(f"{both.gateway_url}/v1/models", json={}).json()["error"]["type"] == "invalid_request_error"
    assert httpx.get(f"{both.gateway_url}/v1/none").json()["error"]["message"] == "There is nothing at /v1/none."
