"""How a model answers in pieces: MLflow's ``predict_stream``, a generator or an asynchronous one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.kinds import is_frame

_PLACEHOLDERS = "mlflow.pyfunc"
"""The package of MLflow's base classes, whose own ``predict_stream`` only raises."""


def stream_of(
    model: Any, entry: Mapping[str, Any], with_params: Callable[[Any], Callable[[Any, Any], Any]]
) -> Callable[[Any, Any], Any] | None:
    """The model's ``predict_stream(data, params)``; None where its MLmodel entry does not say that it streams.

    What it gives is an iterator or an asynchronous one, or something to be awaited that gives such a one.
    """
    if not entry.get("streamable"):
        return None
    raw = model.get_raw_model() if hasattr(model, "get_raw_model") else getattr(model, "python_model", None)
    own = inspect.unwrap(getattr(raw, "predict_stream", None) or (lambda: None))
    if str(own.__module__).startswith(_PLACEHOLDERS):
        return None
    if inspect.isasyncgenfunction(own) and hasattr(model, "_convert_input") and hasattr(model, "_response_to_dict"):
        return _of_asynchronous_chat(model, raw)
    stream = getattr(model, entry.get("predict_stream_fn") or "predict_stream", None)
    return with_params(stream) if callable(stream) else None


def _of_asynchronous_chat(wrapper: Any, raw: Any) -> Callable[[Any, Any], Any]:
    """MLflow's wrappers of chat models and agents iterate over what ``predict_stream`` gives, which an asynchronous
    generator does not allow; the rest of what they do is done here.
    """
    names = inspect.signature(raw.predict_stream).parameters

    def stream(data: Any, params: Any) -> Any:  # noqa: ARG001 - a chat has its params among its fields.
        given = wrapper._convert_input(data)
        arguments = given if isinstance(given, tuple) else (given,)
        if len(names) > len(arguments):
            arguments = (wrapper.context, *arguments)
        return _as_objects(raw.predict_stream(*arguments))

    return stream


async def _as_objects(chunks: Any) -> AsyncIterator[Any]:
    try:
        async for chunk in chunks:
            if hasattr(chunk, "model_dump"):
                yield chunk.model_dump(exclude_none=True)
            else:
                yield chunk.to_dict() if hasattr(chunk, "to_dict") else chunk
    finally:
        await chunks.aclose()


def single_input(data: Any) -> Any:
    """The one input of a stream, as ``mlflow.pyfunc`` gives it: a row as an object, arrays as lists.

    Raises:
        BadBody: there are more.
    """
    if is_frame(data):
        is_nameless = list(data.columns) == [0]
        data = data.iloc[:, 0].tolist() if is_nameless else data.to_dict(orient="records")
    data = _without_arrays(data)
    if not isinstance(data, list):
        return data
    if len(data) != 1:
        raise BadBody(f"A stream answers one input; the body has {len(data)}.")
    return data[0]


def _without_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_arrays(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_arrays(item) for item in value]
    return value.tolist() if type(value).__module__ == "numpy" else value
