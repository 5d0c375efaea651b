"""Plain Python, and models that need mlflow itself: its PythonModel in all its kinds, models from code, LangChain."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional  # noqa: UP035  mlflow 2.9 knows these names only.

import mlflow
import mlflow.environment_variables
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pydantic
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from packaging.version import Version
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

import servery
from tests.flavors.case import Case
from tests.models import by_value

RELEASE = Version(mlflow.__version__)
MODELS_FROM_CODE = Version("2.13") <= RELEASE
CHAT_MODEL = Version("2.11") <= RELEASE
TYPE_HINTS = Version("2.20") <= RELEASE
CHAT_AGENT = Version("2.20") <= RELEASE
RESPONSES_AGENT = Version("3.0") <= RELEASE
COMPRESSION: Any = getattr(mlflow.environment_variables, "MLFLOW_LOG_MODEL_COMPRESSION", None)
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a servery?"}]


class Progression(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A regression that lies beside the model as an artifact, scaled by the model's config and by a param."""

    def load_context(self, context: Any) -> None:
        self.weights = np.load(context.artifacts["weights"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        scale = ((context.model_config if hasattr(context, "model_config") else None) or {}).get("scale", 1)
        return model_input.to_numpy() @ self.weights * scale + (params or {}).get("offset", 0.0)


class Described(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Answers with what it was given."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        if isinstance(model_input, pd.DataFrame):
            model_input = [list(map(str, model_input.dtypes)), model_input.to_dict(orient="records")]
        return {"input": repr(model_input), "params": repr(params)}


class Lengths(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A list of texts by its type hint; mlflow 2.9 reads such hints, too."""

    def predict(self, context: Any, model_input: List[str], params: Any = None) -> List[int]:  # noqa: UP006
        return [len(text) for text in model_input]


# mlflow 2.9 evaluates the hints when it predicts, and the pickle does not bring what their text names.
Lengths.predict.__annotations__ = {"model_input": List[str]}  # noqa: UP006


class Visit(pydantic.BaseModel):
    patient: str
    age: int
    ward: Optional[str] = None  # noqa: UP045
    readings: Dict[str, float] = {}  # noqa: UP006


class Risk(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Objects of a pydantic class by its type hint, and such objects as its answer."""

    def predict(self, model_input: List[Visit], params: Any = None) -> List[Visit]:  # noqa: UP006
        return [visit.copy(update={"age": visit.age + 1}) for visit in model_input]


class Moments(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, model_input: List[datetime.datetime]) -> List[int]:  # noqa: UP006
        return [moment.year for moment in model_input]


def cases() -> list[Case]:
    found = [*_plain(), *_python_models()]
    if TYPE_HINTS:
        found += _typed()
    if MODELS_FROM_CODE:
        found += _from_code()
    if CHAT_MODEL:
        found += _agents()
    return found


def _case(name: str, model: Callable[[], Any], inputs: Callable[[], Sequence[Any]], **given: Any) -> Case:
    """A model that ``mlflow.pyfunc.save_model(python_model=…)`` saves, and that only mlflow saves."""
    return Case(name, model, lambda model, path: _save(model, path, **given), inputs, ours=False)


def _save(model: Any, path: str, **given: Any) -> None:
    with by_value(__name__):
        mlflow.pyfunc.save_model(path, python_model=model, pip_requirements=["mlflow"], **given)


# Functions and servery's own PythonModel, which need no mlflow.


class Largest(servery.PythonModel):
    """The largest of each row, times what the caller says."""

    def predict(self, model_input: Any, params: Any = None) -> Any:
        factor = 1.0 if not params else params["factor"]
        return (model_input.max(axis=1) * factor).tolist()


def _frames() -> list[Any]:
    frame = load_diabetes(as_frame=True).data[["age", "bmi", "bp"]]
    return [frame[:3], frame[5:6], frame[["bp", "age", "bmi"]][:20], frame[:2].astype("float32")]


def _plain() -> Iterator[Case]:
    frame = _frames()[0]

    def save_function(model: Any, path: str) -> None:
        _save(model, path, signature=infer_signature(frame, np.zeros(3)))

    def save_object(model: Any, path: str) -> None:
        signature = infer_signature(frame, np.zeros(3), params={"factor": 1.0})
        _save(_Wrapped(model), path, signature=signature)

    yield Case("function", lambda: _ranges, save_function, _frames)
    with_params = lambda: [(frame, {"factor": 1.0}) for frame in _frames()] + [(_frames()[0], {"factor": 2.5})]  # noqa: E731
    yield Case("servery.PythonModel, params", Largest, save_object, with_params)


def _ranges(frame: Any) -> Any:
    return (frame.max(axis=1) - frame.min(axis=1)).tolist()


class _Wrapped(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return self.model.predict(model_input, params)


# mlflow's PythonModel.


def _python_models() -> Iterator[Case]:
    yield Case("PythonModel: artifacts, config, params", Progression, _save_progression, _diabetes, ours=False)
    columns = ModelSignature(Schema([ColSpec(DataType.string, "name"), ColSpec(DataType.double, "share")]))
    rows = pd.DataFrame({"name": ["a", "ü"], "share": [0.5, 1.0]})
    yield _case("PythonModel: columns", Described, lambda: [rows, rows[["share", "name"]]], signature=columns)
    yield _case("PythonModel: no signature", Described, lambda: [np.array([[1.5, 2.0]]), rows])
    texts = ModelSignature(Schema([ColSpec(DataType.string)]))
    yield _case("PythonModel: list of texts", Lengths, lambda: [["a", "bcd"], ["x"]], signature=texts)
    yield _case("PythonModel: prompt", Described, _prompts, signature=_prompt_signature())
    for method in ("lzma", "bzip2", "gzip") if COMPRESSION is not None else ():
        save = partial(_save_compressed, method=method, signature=columns)
        yield Case(f"PythonModel: {method}", Described, save, lambda: [rows], ours=False)


def _save_compressed(model: Any, path: str, *, method: str, signature: Any) -> None:
    COMPRESSION.set(method)
    try:
        _save(model, path, signature=signature)
    finally:
        COMPRESSION.unset()


def _save_progression(model: Any, path: str) -> None:
    data = load_diabetes(as_frame=True)
    weights = LinearRegression().fit(data.data, data.target).coef_
    signature = infer_signature(data.data, np.zeros(2), params={"offset": 0.0})
    config = {"model_config": {"scale": 2}} if Version("2.11") <= RELEASE else {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/weights.npy", weights)
        artifacts = {"weights": f"{folder}/weights.npy"}
        _save(model, path, artifacts=artifacts, signature=signature, **config)


def _diabetes() -> list[Any]:
    frame = load_diabetes(as_frame=True).data
    return [frame[:3], (frame[5:6], {"offset": 100.0}), (frame[:10], {"offset": 7})]


def _prompt_signature() -> ModelSignature:
    params = ParamSchema(
        [ParamSpec("temperature", DataType.double, 0.5), ParamSpec("stop", DataType.string, ["."], (-1,))]
    )
    return ModelSignature(Schema([ColSpec(DataType.string, "prompt")]), params=params)


def _prompts() -> list[Any]:
    return [
        {"prompt": "Say hello"},
        ({"prompt": "Say hello"}, {"temperature": 0.9}),
        ({"prompt": "Say hello"}, {"temperature": 1, "stop": ["a", "b"]}),
        {"prompt": ["one", "two"]},
    ]


def _typed() -> Iterator[Case]:
    visits = [{"patient": "a", "age": 3, "readings": {"pulse": 61.5}}, {"patient": "b", "age": 50, "ward": "C"}]
    yield _case("type hint: pydantic", Risk, lambda: [visits, visits[:1]])
    yield _case("type hint: list of texts", lambda: _typed_lengths, lambda: [["a", "bcd"], ["x"]])
    if RESPONSES_AGENT:  # Before, mlflow's own predict outside of its server does not read times.
        moments = [datetime.datetime(2024, 2, 29, 10), datetime.datetime(1999, 12, 31)]  # noqa: DTZ001
        yield _case("type hint: times", Moments, lambda: [moments])


def _typed_lengths(model_input: List[str]) -> List[int]:  # noqa: UP006
    return [len(text) for text in model_input]


# Models from code.

_SCRIPT = """
import mlflow
from mlflow.models import ModelConfig, set_model


greeting = ModelConfig(development_config={"greeting": "Hello"}).get("greeting")


class Greeter(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [f"{greeting}, {name}" for name in model_input["name"]]


set_model(Greeter())
"""

_CHAIN = """
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.runnables import RunnableLambda
from mlflow.models import set_model

prompt = ChatPromptTemplate.from_template("Tell me about {topic} in {words} words")
set_model(prompt | RunnableLambda(lambda value: value.to_string().upper()) | StrOutputParser())
"""


@contextmanager
def _script(text: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "agent.py").write_text(text)
        yield f"{folder}/agent.py"


def _from_code() -> Iterator[Case]:
    names = pd.DataFrame({"name": ["Ann", "Bo"]})

    def save(model: str, path: str) -> None:
        with _script(model) as script:
            config = {"greeting": "Good day"}
            signature = infer_signature(names, ["a"])
            _save(script, path, model_config=config, signature=signature)

    yield Case("models from code: config", lambda: _SCRIPT, save, lambda: [names, names[:1]], ours=False)
    try:
        import langchain_core  # noqa: F401
    except ImportError:
        return

    def save_chain(model: str, path: str) -> None:
        with _script(model) as script:
            example = {"topic": "tea", "words": "5"}
            mlflow.langchain.save_model(
                script, path, signature=infer_signature(example, ["a"]), pip_requirements=["mlflow"]
            )

    topics = [{"topic": "tea", "words": "5"}, {"topic": "milk", "words": "9"}]
    yield Case("models from code: LangChain", lambda: _CHAIN, save_chain, lambda: [*topics, topics], ours=False)


# Agents.


def _agents() -> Iterator[Case]:
    requests = [
        {"messages": MESSAGES},
        {"messages": MESSAGES[1:], "temperature": 0.25, "max_tokens": 20, "stop": ["."]},
        {"messages": MESSAGES, "temperature": 1},
    ]
    yield _case("ChatModel", _chat_model, lambda: requests)
    if CHAT_AGENT:
        context = {"conversation_id": "7", "user_id": "ann"}
        yield _case(
            "ChatAgent",
            _chat_agent,
            lambda: [requests[0], {"messages": MESSAGES[1:], "context": context, "custom_inputs": {"a": "b"}}],
        )
    if RESPONSES_AGENT:
        turn = {"role": "user", "content": [{"type": "input_text", "text": "And a kitchen?"}]}
        yield _case(
            "ResponsesAgent",
            _responses_agent,
            lambda: [{"input": MESSAGES}, {"input": [*MESSAGES, turn], "custom_inputs": {"a": 1}, "temperature": 0.5}],
        )


def _chat_model() -> Any:
    from mlflow.pyfunc import ChatModel

    try:
        from mlflow.types.llm import ChatCompletionResponse
    except ImportError:
        from mlflow.types.llm import ChatResponse as ChatCompletionResponse

    class Parrot(ChatModel):  # type: ignore[misc]
        def predict(self, context: Any, messages: Any, params: Any) -> Any:
            text = repr(([message.to_dict() for message in messages], params.to_dict()))
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            about = {"id": "1", "model": "parrot", "created": 1, "object": "chat.completion"}
            return ChatCompletionResponse.from_dict({**about, "choices": [choice], "usage": usage})

    return Parrot()


def _chat_agent() -> Any:
    from mlflow.pyfunc import ChatAgent
    from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse

    class Parrot(ChatAgent):  # type: ignore[misc]
        def predict(self, messages: Any, context: Any = None, custom_inputs: Any = None) -> Any:
            text = repr(([message.content for message in messages], context, custom_inputs))
            return ChatAgentResponse(messages=[ChatAgentMessage(role="assistant", id="1", content=text)])

    return Parrot()


def _responses_agent() -> Any:
    from mlflow.pyfunc import ResponsesAgent
    from mlflow.types.responses import ResponsesAgentResponse

    class Parrot(ResponsesAgent):  # type: ignore[misc]
        def predict(self, request: Any) -> Any:
            item = self.create_text_output_item(repr(request.model_dump(exclude_none=True)), "1")
            return ResponsesAgentResponse(output=[item], custom_outputs=request.custom_inputs)

    return Parrot()
