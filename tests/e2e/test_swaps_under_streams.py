"""A swap under a stream: the old version says what it has begun to say, and goes; the next stream is the new one's."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

import servery
from tests.models import by_value
from tests.servers import Both, wait_until
from tests.streams import plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with by_value("tests.streams.plain"):
        servery.save_model(plain.Words(), tmp_path / "words", input_example=["chunks 2"], requirements=["pandas"])
    return tmp_path / "words"


def test_a_stream_ends_with_the_version_that_it_began_with(both: Both, client: servery.Client, folder: Path) -> None:
    for _ in range(2):
        client.register(folder, name="words")
    client.deploy("words", "models:/words/1")
    url = f"{both.gateway_url}/endpoints/words/invocations"
    body = {"inputs": ["chunks 400 pause 0.05"], "stream": True}
    with httpx.stream("POST", url, json=body, timeout=60) as stream:
        assert stream.headers["x-model-version"] == "words/1"
        lines = stream.iter_lines()
        next(lines)
        client.deploy("words", "models:/words/2")
        asked = httpx.post(url, json={"inputs": ["chunks 1"], "stream": True}, timeout=60)
        assert (asked.headers["x-model-version"], asked.text) == ("words/2", 'data: "word0 "\n\n')
        said = [json.loads(line[6:]) for line in lines if line]
    assert said[-1] == "word399 "
    wait_until(lambda: 'servery_workers_ready{version="words/1"}' not in _metrics(both), "the old version is gone")


def _metrics(both: Both) -> str:
    return httpx.get(f"{both.gateway_url}/metrics").text
