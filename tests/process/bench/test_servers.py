"""How the bench runs a server: ready, right, and ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bench import servers

FLOOR = str(Path(servers.__file__).with_name("floor.py"))


def _anything(answer: Any) -> bool:
    return answer is not None


def _run(body: Path, *, right: Any = _anything, command: list[str] | None = None) -> Any:
    port = servers.free_port()
    command = command or [sys.executable, FLOOR, str(port)]
    return servers.running("floor", command, f"http://127.0.0.1:{port}", "/", "/", body, right)


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_text('{"inputs": [[1.5, 2.5]]}')
    return path


def test_the_floor_answers_each_request_of_a_connection_with_its_own_body(body: Path) -> None:
    with _run(body) as service, httpx.Client() as client:
        for number in range(3):
            assert client.post(service.url, content=b"%d" % number * 100_000).content == b"%d" % number * 100_000


def test_the_server_is_gone_after_the_block_even_when_the_block_fails(body: Path) -> None:
    started = []

    def fail() -> None:
        with _run(body) as service:
            started.append(service.process.pid)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not psutil.pid_exists(started[0])


def test_memory_counts_the_process_and_its_children() -> None:
    own = servers.memory(psutil.Process().pid)
    assert 1 << 20 < own.pss_bytes <= own.rss_bytes
    assert own.all_pss_bytes >= own.pss_bytes


def test_a_wrong_answer_is_never_measured(body: Path) -> None:
    with pytest.raises(servers.ServerFailed, match="gave the wrong answer: 200"), _run(body, right=lambda _: False):
        pytest.fail("the server was handed over")


def test_a_server_that_ends_early_is_reported_with_the_end_of_its_log(body: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with (
        pytest.raises(servers.ServerFailed, match=r"ended with 1 before it was ready.*no such model"),
        _run(body, command=command),
    ):
        pytest.fail("the server was handed over")
