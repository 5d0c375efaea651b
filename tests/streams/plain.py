"""Models that answer in pieces, without mlflow: fast to load.

A text says what is to be done: ``chunks N`` of them, ``pause S`` seconds before each, ``fail N`` after so many, ``size
N`` bytes in each, ``log PATH``: a file that gets the number of each chunk, and ``closed`` when the generator is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import servery


class Told:
    """What a text asks of a model."""

    def __init__(self, text: str) -> None:
        words = text.split()
        told = dict(zip(words[::2], words[1::2], strict=False))
        self.chunks = int(told.get("chunks", 3))
        self.pause = float(told.get("pause", 0))
        self.fail = int(told.get("fail", -1))
        self.size = int(told.get("size", 0))
        self.log = told.get("log")

    def words(self) -> Iterator[str]:
        for number in range(self.chunks):
            if number == self.fail:
                raise ValueError("no words for this")
            self.note(str(number))
            yield f"word{number} " + "x" * self.size

    def note(self, what: str) -> None:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{time.time()} {what}\n")


def steps(text: str) -> Iterator[str]:
    told = Told(text)
    try:
        for word in told.words():
            time.sleep(told.pause)
            yield word
    finally:
        told.note("closed")


async def steps_async(text: str) -> AsyncIterator[str]:
    told = Told(text)
    try:
        for word in told.words():
            await asyncio.sleep(told.pause)
            yield word
    finally:
        told.note("closed")


class Words(servery.PythonModel):
    def predict(self, model_input: Any, params: Any = None) -> Any:
        return ["".join(Told(text).words()) for text in model_input]

    def predict_stream(self, model_input: Any, params: Any = None) -> Any:
        return steps(model_input)


class AsyncWords(Words):
    def predict_stream(self, model_input: Any, params: Any = None) -> Any:
        return steps_async(model_input)


class Vectors(servery.PythonModel):
    """Texts to vectors of two numbers: the length, and how many times there is an a."""

    def predict(self, model_input: Any, params: Any = None) -> Any:
        import numpy as np

        return np.array([[len(text), text.count("a")] for text in model_input], dtype="float32")
