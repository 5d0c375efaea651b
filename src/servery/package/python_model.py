"""The class that people subclass to serve their own code.

What is here is pickled with the model, by value: a saved model needs no servery to load. So this module imports
nothing of servery, and only what every Python has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class PythonModel:
    """A model in plain Python: subclass it, load what it needs in ``__init__``, and answer in ``predict``.

    The instance is pickled, with its class, when it is saved; every worker unpickles it once. A worker calls
    ``predict`` from one thread at a time.

    A model that has ``predict_stream(self, model_input, params=None)`` besides answers in pieces where its caller asks
    for them: a generator of chunks, plain or asynchronous, for one input (a text, an object). It is closed when the
    caller leaves.
    """

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Answer all rows of ``model_input``: what the signature says, a frame for columns, an array for a tensor.

        ``params`` are the caller's, completed by the signature's defaults. A ``predict`` without the argument
        ``params`` is called with the input alone.
        """
        raise NotImplementedError("A PythonModel has its own predict.")


class FunctionModel(PythonModel):
    """A function as a model."""

    def __init__(self, function: Callable[..., Any], *, takes_params: bool) -> None:
        self.function = function
        self.takes_params = takes_params

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        return self.function(model_input, params=params) if self.takes_params else self.function(model_input)
