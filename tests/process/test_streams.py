"""Answers in pieces, byte by byte: the first comes early, a caller that leaves is noticed, nothing ends silently."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import servery
from tests.models import by_value
from tests.servers import Server, serving, wait_until
from tests.streams import plain

STREAMS_MAX = 250
PATH = "/invocations"


def save(model: servery.PythonModel, folder: Path) -> Path:
    with by_value("tests.streams.plain"):
        servery.save_model(model, folder, input_example=["chunks 2"], requirements=["pandas"])
    return folder


@pytest.fixture(scope="module")
def words_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(plain.Words(), tmp_path_factory.mktemp("packages") / "words")


@pytest.fixture(scope="module")
def async_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(plain.AsyncWords(), tmp_path_factory.mktemp("packages") / "words")


@pytest.fixture(scope="module")
def words(words_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"request_timeout_seconds": 2}
    with serving(words_folder, tmp_path_factory.mktemp("words") / "home", settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def words_async(async_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"streams_max": STREAMS_MAX}
    with serving(async_folder, tmp_path_factory.mktemp("async") / "home", settings=settings) as running:
        yield running


@pytest.fixture(params=["words", "words_async"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


class Caller:
    """A raw connection with a stream on it."""

    def __init__(self, server: Server, text: str, *, path: str = PATH, version: str = "1.1", **headers: str) -> None:
        field = {"inputs": [text]} if path == PATH else {"text_input": text}
        body = json.dumps({**field, "stream": True}).encode()
        lines = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.socket.sendall("\r\n".join(lines).encode() + body)
        self.file = self.socket.makefile("rb")

    def head(self) -> tuple[int, dict[str, str]]:
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    def chunk(self) -> bytes:
        """The next chunk; empty for the last."""
        length = int(self.file.readline(), 16)
        data = self.file.read(length)
        assert self.file.read(2) == b"\r\n"
        return data

    def events(self) -> Iterator[Any]:
        while (data := self.chunk()) != b"":
            assert data.startswith(b"data: ")
            assert data.endswith(b"\n\n")
            yield json.loads(data[6:])

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def notes(log: Path) -> dict[str, float]:
    """What a model has noted, and when."""
    lines = log.read_text().splitlines() if log.exists() else []
    return {what: float(when) for when, what in (line.split() for line in lines)}


def ask(server: Server, text: str, **headers: str) -> httpx.Response:
    body = {"inputs": [text], "stream": True}
    return httpx.post(f"{server.url}{PATH}", json=body, headers=headers, timeout=30)


# What is sent.


def test_each_chunk_is_an_event_and_then_comes_the_end(server: Server) -> None:
    with closing(Caller(server, "chunks 3")) as caller:
        status, headers = caller.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert headers["transfer-encoding"] == "chunked"
        assert headers["x-model-version"] == "words/1"
        assert list(caller.events()) == ["word0 ", "word1 ", "word2 "]
        # The connection goes on.
        caller.socket.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.head()[0] == 200


def test_a_caller_of_http_1_0_reads_to_the_end_of_the_connection(server: Server) -> None:
    with closing(Caller(server, "chunks 2", version="1.0")) as caller:
        status, headers = caller.head()
        assert (status, headers["connection"]) == (200, "close")
        assert "transfer-encoding" not in headers
        assert caller.file.read() == b'data: "word0 "\n\ndata: "word1 "\n\n'


def test_accept_asks_for_pieces_as_the_body_does(server: Server) -> None:
    response = httpx.post(f"{server.url}{PATH}", json={"inputs": ["chunks 1"]}, headers={"Accept": "text/event-stream"})
    assert response.text == 'data: "word0 "\n\n'


@pytest.mark.parametrize("stream", [None, False, "true", 1])
def test_a_body_that_does_not_ask_for_pieces_gets_none(server: Server, stream: object) -> None:
    response = httpx.post(f"{server.url}{PATH}", json={"inputs": ["chunks 2"], "stream": stream})
    assert response.json() == {"predictions": ["word0 word1 "]}


def test_the_first_event_comes_while_the_model_still_works(server: Server, tmp_path: Path) -> None:
    with closing(Caller(server, f"chunks 3 pause 0.3 log {tmp_path / 'log'}")) as caller:
        caller.head()
        caller.chunk()
        assert "closed" not in notes(tmp_path / "log")
        assert len(list(caller.events())) == 2


def test_streams_and_predictions_go_side_by_side(server: Server) -> None:
    with closing(Caller(server, "chunks 20 pause 0.05")) as caller:
        caller.head()
        caller.chunk()
        answer = httpx.post(f"{server.url}{PATH}", json={"inputs": ["chunks 1"]}, timeout=10)
        assert answer.json() == {"predictions": ["word0 "]}
        assert len(list(caller.events())) == 19


def test_a_stream_takes_one_input(server: Server) -> None:
    response = httpx.post(f"{server.url}{PATH}", json={"inputs": ["chunks 1", "chunks 1"], "stream": True})
    assert response.status_code == 400
    assert response.json()["message"] == "A stream answers one input; the body has 2."


# Failures.


def test_a_failure_before_the_first_event_is_an_answer_with_its_status(server: Server) -> None:
    response = ask(server, "fail 0")
    assert response.status_code == 400
    assert response.json() == {"error_code": "BAD_REQUEST", "message": "The model raised ValueError: no words for this"}


def test_a_failure_later_is_an_event_and_then_the_end(server: Server) -> None:
    with closing(Caller(server, "chunks 3 fail 2")) as caller:
        caller.head()
        *said, last = caller.events()
        assert said == ["word0 ", "word1 "]
        assert last == {"error": "The model raised ValueError: no words for this", "error_code": "BAD_REQUEST"}


def test_a_first_event_that_is_late_is_a_504(words: Server) -> None:
    response = ask(words, "chunks 1 pause 1", **{"X-Request-Timeout-Ms": "200"})
    assert (response.status_code, response.json()["error_code"]) == (504, "DEADLINE_EXCEEDED")
    assert ask(words, "chunks 1").status_code == 200


def test_a_stream_that_outlasts_its_callers_deadline_ends_with_an_error(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with closing(Caller(server, f"chunks 100 pause 0.1 log {log}", X_Request_Timeout_Ms="600")) as caller:
        caller.head()
        *said, last = caller.events()
        assert 2 <= len(said) <= 6
        assert last["error_code"] == "DEADLINE_EXCEEDED"
    wait_until(lambda: "closed" in notes(log), "the generator is closed")


def test_a_workers_death_is_an_event_and_the_next_stream_is_served(async_folder: Path, tmp_path: Path) -> None:
    with serving(async_folder, tmp_path / "home") as server:
        with closing(Caller(server, "chunks 1000 pause 0.02")) as caller:
            caller.head()
            caller.chunk()
            [worker] = server.workers()
            worker.kill()
            *_, last = caller.events()
            assert last["error_code"] == "TEMPORARILY_UNAVAILABLE"
        refused = ask(server, "chunks 1")
        if refused.status_code != 200:  # It starts again: nothing is left to wait without an answer.
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        wait_until(lambda: ask(server, "chunks 1").status_code == 200, "the next worker is ready")


def test_as_many_streams_as_a_worker_may_hold_are_taken_and_no_more(words_folder: Path, tmp_path: Path) -> None:
    with serving(words_folder, tmp_path / "home", settings={"streams_max": 2}) as server:
        held = [Caller(server, "chunks 100 pause 0.02") for _ in range(2)]
        for caller in held:
            caller.head()
        refused = ask(server, "chunks 1")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        held[0].close()
        wait_until(lambda: ask(server, "chunks 1").status_code == 200, "there is room again")
        held[1].close()


# Callers that leave, or read slowly.


@pytest.mark.parametrize("pause", ["pause 0.01", "pause 0.05"])
def test_the_generator_of_a_caller_that_leaves_is_closed(server: Server, tmp_path: Path, pause: str) -> None:
    log = tmp_path / "log"
    caller = Caller(server, f"chunks 10000 {pause} log {log}")
    caller.head()
    caller.chunk()
    left = time.time()
    caller.close()
    wait_until(lambda: "closed" in notes(log), "the generator is closed")
    # The bound that callers are promised is 0.1 s; a machine that is busy with other tests is allowed more.
    assert notes(log)["closed"] - left < 1


def test_an_asynchronous_generator_is_closed_in_the_midst_of_its_wait(words_async: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    caller = Caller(words_async, f"chunks 2 pause 60 log {log}")
    wait_until(lambda: "0" in notes(log), "the model works")
    caller.close()
    wait_until(lambda: "closed" in notes(log), "the generator is closed", timeout_seconds=5)


def test_a_model_is_held_up_by_a_caller_that_does_not_read(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with closing(Caller(server, f"chunks 2000 size 100000 log {log}")) as slow:
        slow.head()
        wait_until(lambda: _stands_still(log), "the model is held up")
        made = len(notes(log))
        assert made < 200  # Of 2000: what the sockets' buffers and the credits of one stream hold.
        # Others are served meanwhile.
        assert ask(server, "chunks 2").status_code == 200
        # It goes on as it is read.
        for _ in range(made + 20):
            slow.chunk()
        assert len(notes(log)) > made
    wait_until(lambda: "closed" in notes(log), "the generator is closed")


def _stands_still(log: Path) -> bool:
    before = len(notes(log))
    time.sleep(0.5)
    return 0 < before == len(notes(log))


def test_two_hundred_streams_run_side_by_side_in_one_worker(words_async: Server) -> None:
    barrier = threading.Barrier(200)

    def stream(_: int) -> int:
        with closing(Caller(words_async, "chunks 5 pause 0.2")) as caller:
            caller.head()
            caller.chunk()
            barrier.wait(60)  # All have had their first event, and none its last.
            return len(list(caller.events()))

    with ThreadPoolExecutor(200) as pool:
        assert set(pool.map(stream, range(200))) == {4}
    assert len(words_async.workers()) == 1


# Ends.


def test_a_stream_under_way_is_answered_to_its_end_before_the_server_goes(async_folder: Path, tmp_path: Path) -> None:
    with serving(async_folder, tmp_path / "home") as server:
        with closing(Caller(server, "chunks 10 pause 0.2")) as caller:
            caller.head()
            caller.chunk()
            server.process.send_signal(signal.SIGTERM)
            assert len(list(caller.events())) == 9
        assert server.process.wait(20) == 0


def test_a_stream_that_outlasts_the_drain_ends_with_an_error(async_folder: Path, tmp_path: Path) -> None:
    with serving(async_folder, tmp_path / "home", settings={"drain_timeout_seconds": 2}) as server:
        with closing(Caller(server, "chunks 1000 pause 0.1")) as caller:
            caller.head()
            server.process.send_signal(signal.SIGTERM)
            *_, last = caller.events()
            assert last["error_code"] == "TEMPORARILY_UNAVAILABLE"
        server.process.wait(20)


def test_streams_are_counted(server: Server) -> None:
    assert ask(server, "chunks 2").status_code == 200
    page = httpx.get(f"{server.url}/metrics").text
    assert 'servery_streams_total{version="words/1"}' in page
    assert 'servery_streams_open{version="words/1"} 0.0' in page


def test_a_model_that_is_stuck_in_a_step_that_nobody_wants_is_replaced(words_folder: Path, tmp_path: Path) -> None:
    with serving(words_folder, tmp_path / "home", settings={"request_timeout_seconds": 1}) as server:
        [stuck] = server.workers()
        response = ask(server, "chunks 1 pause 600")
        assert response.status_code == 504
        wait_until(lambda: not psutil.pid_exists(stuck.pid), "the worker is ended")
        wait_until(lambda: ask(server, "chunks 1").status_code == 200, "another has taken its place")
