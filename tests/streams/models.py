"""Models of mlflow that answer in pieces; what they are told is in ``plain``."""

from __future__ import annotations

from typing import Any

from mlflow.pyfunc import ChatAgent, ChatModel, PythonModel, ResponsesAgent
from mlflow.types.agent import ChatAgentChunk, ChatAgentMessage, ChatAgentResponse
from mlflow.types.llm import ChatChoice, ChatCompletionChunk, ChatCompletionResponse, ChatMessage
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent

from tests.streams.plain import Told, steps, steps_async


class Chat(ChatModel):  # type: ignore[misc]
    def predict(self, context: Any, messages: Any, params: Any) -> Any:
        said = "".join(Told(messages[-1].content).words())
        choice = ChatChoice(index=0, message=ChatMessage(role="assistant", content=said))
        return ChatCompletionResponse(choices=[choice], model="small")

    def predict_stream(self, context: Any, messages: Any, params: Any) -> Any:
        for word in steps(messages[-1].content):
            yield ChatCompletionChunk.from_dict({"choices": [{"index": 0, "delta": {"content": word}}]})


class QuietChat(ChatModel):  # type: ignore[misc]
    """It has no pieces."""

    def predict(self, context: Any, messages: Any, params: Any) -> Any:
        choice = ChatChoice(index=0, message=ChatMessage(role="assistant", content=messages[-1].content.upper()))
        return ChatCompletionResponse(choices=[choice])


class AsyncChat(Chat):
    async def predict_stream(self, context: Any, messages: Any, params: Any) -> Any:
        async for word in steps_async(messages[-1].content):
            yield ChatCompletionChunk.from_dict({"choices": [{"index": 0, "delta": {"content": word}}]})


class Agent(ChatAgent):  # type: ignore[misc]
    def predict(self, messages: Any, context: Any = None, custom_inputs: Any = None) -> Any:
        said = "".join(Told(messages[-1].content).words())
        return ChatAgentResponse(messages=[ChatAgentMessage(role="assistant", content=said, id="m-1")])

    def predict_stream(self, messages: Any, context: Any = None, custom_inputs: Any = None) -> Any:
        for word in steps(messages[-1].content):
            yield ChatAgentChunk(delta=ChatAgentMessage(role="assistant", content=word, id="m-1"))


class Responses(ResponsesAgent):  # type: ignore[misc]
    def predict(self, request: Any) -> Any:
        said = "".join(Told(request.input[-1].content).words())
        return ResponsesAgentResponse(output=[self.create_text_output_item(said, "m-1")])

    def predict_stream(self, request: Any) -> Any:
        said = ""
        for word in steps(request.input[-1].content):
            said += word
            yield ResponsesAgentStreamEvent(**self.create_text_delta(word, "m-1"))
        item = self.create_text_output_item(said, "m-1")
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)


class Talk(PythonModel):  # type: ignore[misc]
    """A chat without a task or a signature: it is given the caller's object and yields texts."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return "".join(Told(model_input["messages"][-1]["content"]).words())

    def predict_stream(self, context: Any, model_input: Any, params: Any = None) -> Any:
        yield from steps(model_input["messages"][-1]["content"])
