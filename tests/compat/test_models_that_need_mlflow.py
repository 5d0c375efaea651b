"""Models that mlflow itself loads, asked through mlflow's scoring server and through ours: the same status, the same
answer, the same error code. They answer with a description of what they were given.
"""

from __future__ import annotations

import datetime
import json
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import mlflow.pyfunc
import mlflow.pyfunc.scoring_server
import numpy as np
import pandas as pd
import pydantic
import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import ChatAgent, ChatModel, PythonModel, ResponsesAgent
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse
from mlflow.types.llm import ChatCompletionResponse
from mlflow.types.responses import ResponsesAgentResponse
from mlflow.types.schema import AnyType, Array, Map, Object, Property
from mlflow.types.type_hints import TypeFromExample
from starlette.testclient import TestClient

import servery
from servery.errors import InvalidInput
from servery.serving.answers import refusal_of
from servery_worker.predictor import LoadError, Predictor, load
from servery_worker.wire import Asked, MediaType, Options, Outcome
from tests.models import by_value
from tests.servers import serving


def describe(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return [list(map(str, value.columns)), list(map(str, value.dtypes)), describe(value.to_dict(orient="records"))]
    if isinstance(value, list):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    return f"{type(value).__name__} {value!r}"


class Echo(PythonModel):  # type: ignore[misc]
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return [describe(model_input), describe(params)]


class WithoutParams(PythonModel):  # type: ignore[misc]
    def predict(self, context: Any, model_input: Any) -> Any:
        return [describe(model_input)]


class Raising(PythonModel):  # type: ignore[misc]
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        from mlflow.protos.databricks_pb2 import ErrorCode  # It cannot be pickled.

        [code] = np.ravel(model_input).tolist()
        if code == "ValueError":
            raise ValueError("no such thing")
        raise MlflowException("It said so.", error_code=ErrorCode.Value(code))


class Texts(PythonModel):  # type: ignore[misc]
    def predict(self, model_input: list[str], params: Any = None) -> Any:
        return [describe(model_input), describe(params)]


class Numbers(PythonModel):  # type: ignore[misc]
    def predict(self, model_input: list[dict[str, int]]) -> Any:
        return describe(model_input)


class Moments(PythonModel):  # type: ignore[misc]
    def predict(self, model_input: list[datetime.datetime]) -> Any:
        return describe(model_input)


class Blobs(PythonModel):  # type: ignore[misc]
    def predict(self, model_input: list[bytes]) -> Any:
        return describe(model_input)


class Message(pydantic.BaseModel):
    role: str
    content: str
    weight: float | None = None


class Messages(PythonModel):  # type: ignore[misc]
    def predict(self, model_input: list[Message]) -> list[Message]:
        return model_input


class LikeExample(PythonModel):  # type: ignore[misc]
    def predict(self, model_input: TypeFromExample) -> Any:
        return [describe(model_input)]


class Chat(ChatModel):  # type: ignore[misc]
    def predict(self, context: Any, messages: Any, params: Any) -> Any:
        text = repr(([message.to_dict() for message in messages], params.to_dict()))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return ChatCompletionResponse.from_dict({"created": 1, "model": "m", "choices": [choice], "usage": USAGE})


class Agent(ChatAgent):  # type: ignore[misc]
    def predict(self, messages: Any, context: Any = None, custom_inputs: Any = None) -> Any:
        if messages and messages[0].content == "wrong":
            return {"messages": [{"role": "nobody"}]}
        return ChatAgentResponse(
            messages=[ChatAgentMessage(role="assistant", id="1", content=repr((messages, context, custom_inputs)))]
        )


class Responder(ResponsesAgent):  # type: ignore[misc]
    """It also tells whether it is traced, and whether its mlflow tells its makers that it runs."""

    def predict(self, request: Any) -> Any:
        about = {"traced": mlflow.get_current_active_span() is not None}
        about["telemetry"] = os.environ.get("MLFLOW_DISABLE_TELEMETRY") != "true"
        output = self.create_text_output_item(repr(request.input), "1")
        return ResponsesAgentResponse(output=[output], custom_outputs={**(request.custom_inputs or {}), **about})


USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
HELLO = {"role": "user", "content": "hi"}
MESSAGE = Object([Property("role", DataType.string), Property("content", DataType.string)])
PARAMS = ParamSchema([ParamSpec("temperature", DataType.double, 0.5), ParamSpec("stop", DataType.string, ["."], (-1,))])


def columns(*specs: Any, params: ParamSchema | None = None) -> dict[str, Any]:
    return {"signature": ModelSignature(Schema([ColSpec(*spec) for spec in specs]), params=params)}


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "no signature": (Echo(), {}),
    "no params": (WithoutParams(), columns((DataType.string, "prompt"), params=PARAMS)),
    "params only": (Echo(), {"signature": ModelSignature(params=PARAMS)}),
    "prompt": (Echo(), columns((DataType.string, "prompt"), (DataType.long, "n", False), params=PARAMS)),
    "messages": (Echo(), columns((Array(MESSAGE), "messages"), (DataType.double, "temperature", False))),
    "input: list": (Echo(), columns((Array(DataType.string), "input"))),
    "input: object": (Echo(), columns((MESSAGE, "input"))),
    "input: map": (Echo(), columns((Map(DataType.string), "input"))),
    "input: any": (Echo(), columns((AnyType(), "input"))),
    "input: tensor": (
        Echo(),
        {"signature": ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 2), "input")]))},
    ),
    "unnamed": (Echo(), columns((DataType.string,))),
    "raising": (Raising(), {}),
    "raising, unnamed": (Raising(), columns((DataType.string,))),
    "hint: texts": (Texts(), {}),
    "hint: texts, params": (Texts(), {"input_example": (["a"], {"temperature": 0.5, "stop": ["."]})}),
    "hint: numbers": (Numbers(), {}),
    "hint: times": (Moments(), {}),
    "hint: bytes": (Blobs(), {}),
    "hint: pydantic": (Messages(), {}),
    "example: texts": (LikeExample(), {"input_example": ["a", "b"]}),
    "example: rows": (LikeExample(), {"input_example": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]}),
    "example: frame": (LikeExample(), {"input_example": pd.DataFrame({"a": [1], "b": ["x"]})}),
    "ChatModel": (Chat(), {}),
    "ChatAgent": (Agent(), {}),
    "ResponsesAgent": (Responder(), {}),
}

BODIES: dict[str, Any] = {
    **{
        f"inputs: {json.dumps(value)}": {"inputs": value}
        for value in (
            ["a", "b"],
            ["a", 1],
            "a",
            [],
            None,
            [None],
            [{"a": 1}],
            [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
            [{"a": "x"}],
            [HELLO, {**HELLO, "weight": 1}],
            [{**HELLO, "weight": "heavy"}],
            [{"role": "user"}],
            ["2024-02-29T10:00:00", "1999-12-31"],
            ["aGVsbG8=\n"],
            ["ValueError"],
            ["INVALID_PARAMETER_VALUE"],
            ["INTERNAL_ERROR"],
            ["RESOURCE_DOES_NOT_EXIST"],
            ["CANCELLED"],
            ["QUOTA_EXCEEDED"],
        )
    },
    "params": {"inputs": ["a"], "params": {"stop": ["x"], "temperature": 1, "other": 3}},
    "params of a wrong type": {"inputs": ["a"], "params": {"temperature": "warm"}},
    "params: a list": {"inputs": ["a"], "params": [1]},
    "params: empty": {"inputs": ["a"], "params": {}},
    "instances": {"instances": ["a"]},
    "inputs and instances": {"inputs": ["a"], "instances": ["a"]},
    "records": {"dataframe_records": [{"a": 1, "b": "x"}]},
    "no field": {"data": ["a"]},
    **{
        json.dumps(body): body
        for body in cast(
            "tuple[dict[str, Any], ...]",
            (
                {"messages": [HELLO]},
                {"messages": [HELLO, {"role": "assistant", "content": "yes"}], "temperature": 0.25},
                {"messages": [HELLO], "temperature": "warm"},
                {"messages": [HELLO], "max_tokens": 5, "stop": ["a"], "n": 2, "stream": False},
                {"messages": [HELLO], "max_tokens": "many"},
                {"messages": [HELLO], "context": {"user_id": "7"}, "custom_inputs": {"a": "b"}},
                {"messages": [{"role": "user", "content": "wrong"}]},
                {"messages": [{"role": "user"}]},
                {"messages": "hi"},
                {"messages": []},
                {"messages": None},
                {"prompt": "hi"},
                {"prompt": "hi", "temperature": 1, "stop": ["x", "y"], "other": 1},
                {"prompt": "hi", "temperature": "warm"},
                {"prompt": "hi", "n": 3},
                {"prompt": "hi", "n": 1.5},
                {"prompt": ["hi", "ho"]},
                {"prompt": ["hi", "ho"], "n": [1, 2]},
                {"prompt": 5},
                {"prompt": None},
                {"input": "hi"},
                {"input": ["a", "b"]},
                {"input": [HELLO]},
                {"input": [HELLO], "temperature": 0.5, "custom_inputs": {"a": 1}},
                {"input": [HELLO], "max_output_tokens": "many"},
                {"input": HELLO},
                {"input": {"role": "user"}},
                {"input": {"a": 1}},
                {"input": [[1.5, 2.0]]},
                {"input": None},
                {"input": "a", "inputs": ["b"]},
            ),
        )
    },
}


def save(folder: Path, model: Any, **given: Any) -> dict[str, Any]:
    mlflow.pyfunc.save_model(str(folder), python_model=model, pip_requirements=["mlflow"], **given)
    fields: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())
    return fields


@pytest.fixture(scope="module", autouse=True)
def _traced_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An agent that mlflow's own server runs in this process would leave its traces in the current folder."""
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path_factory.mktemp('traces')}/mlflow.db")
    mlflow.tracing.disable()
    yield
    mlflow.tracing.enable()
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module", params=MODELS)
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TestClient, Predictor]:
    """mlflow's scoring server and our predictor, of one model."""
    model, given = MODELS[request.param]
    folder = tmp_path_factory.mktemp("packages") / "model"
    fields = save(folder, model, **given)
    stock = mlflow.pyfunc.scoring_server.init(mlflow.pyfunc.load_model(str(folder)))
    return TestClient(stock, raise_server_exceptions=False), load(str(folder), fields)


def test_both_servers_answer_alike(servers: tuple[TestClient, Predictor]) -> None:
    stock, predictor = servers
    given = {name: ours(predictor, body) for name, body in BODIES.items()}
    assert given == {name: theirs(stock, body) for name, body in BODIES.items()}


def theirs(client: TestClient, body: Any) -> tuple[int, Any]:
    answer = client.post("/invocations", json=body)
    return answer.status_code, json.loads(answer.text) if answer.is_success else answer.json()["error_code"]


def ours(predictor: Predictor, body: Any) -> tuple[int, Any]:
    request = Asked(MediaType.JSON, json.dumps(body).encode(), Options.BARE_NAN)
    [(outcome, answer, *_)], _ = predictor.answer([request])
    return (200, json.loads(answer)) if outcome is Outcome.OK else refusal_of(outcome, answer)[:2]


# In a worker.


def test_an_agent_is_served_without_traces_and_without_telemetry(tmp_path: Path) -> None:
    with by_value(__name__):
        save(tmp_path / "agent", Responder())
    with serving(tmp_path / "agent", tmp_path / "home") as server:
        answer = httpx.post(f"{server.url}/invocations", json={"input": [HELLO]}, timeout=20).json()
    assert answer["custom_outputs"] == {"traced": False, "telemetry": False}
    assert answer["output"][0]["content"][0]["text"].count("hi") == 1


def test_the_code_that_a_model_raises_and_what_its_type_hint_reads_reach_the_caller(tmp_path: Path) -> None:
    with by_value(__name__):
        save(tmp_path / "blobs", Blobs())
    with serving(tmp_path / "blobs", tmp_path / "home") as server:
        good = httpx.post(f"{server.url}/invocations", json={"inputs": ["aGVsbG8=\n"]}, timeout=20)
        bad = httpx.post(f"{server.url}/invocations", json={"inputs": [1]}, timeout=20)
    assert good.json() == {"predictions": ["bytes b'hello'"]}
    assert (bad.status_code, bad.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


# What does not load, and what is not saved.


def test_without_mlflow_it_says_that_mlflow_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = save(tmp_path / "model", Echo())
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(LoadError) as caught:
        load(str(tmp_path / "model"), fields)
    assert str(caught.value) == "The model in 'python_model.pkl' needs mlflow, which its environment does not have."


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "The package has no file 'python_model.pkl', where its MLmodel says that the model lies."),
        (b"", "The model in 'python_model.pkl' is not loaded by 'mlflow.pyfunc.model': EOFError: Ran out of input."),
        (
            pickle.dumps(3),
            (
                "The model in 'python_model.pkl' is not loaded by 'mlflow.pyfunc.model': "
                "AttributeError: 'int' object has no attribute 'load_context'."
            ),
        ),
    ],
    ids=["missing", "empty", "a number"],
)
def test_a_damaged_model_is_named_by_its_file(content: bytes | None, cause: str, tmp_path: Path) -> None:
    fields = save(tmp_path / "model", Echo())
    file = tmp_path / "model" / "python_model.pkl"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(LoadError) as caught:
        load(str(tmp_path / "model"), fields)
    assert str(caught.value) == cause


@pytest.mark.parametrize(
    "model", [Echo(), Texts(), Chat(), Agent(), Responder()], ids=lambda model: type(model).__name__
)
def test_mlflows_own_classes_are_left_to_mlflow_to_save(model: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"save this one by mlflow\.pyfunc\.save_model"):
        servery.save_model(model, tmp_path / "model")
