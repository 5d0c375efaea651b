"""HTTP/1.1 on the gateway's address, byte by byte: what a trusted server does."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.models import RAISE, SLEEP, echo_body
from tests.servers import Server, serving, wait_until

BODY_BYTES_MAX = 100_000


@pytest.fixture(scope="module")
def server(echo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"body_bytes_max": BODY_BYTES_MAX, "queue_requests_max": 4}
    with serving(echo_folder, tmp_path_factory.mktemp("http") / "home", settings=settings) as running:
        yield running


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A raw connection: sends bytes as they are, reads answers one by one."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, head_only: bool = False) -> Answer:
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if head_only or status == 100 else int(headers["content-length"])
        return Answer(status, headers, self.file.read(length))

    def at_end(self) -> bool:
        """Whether the server has closed the connection, and sent nothing more."""
        return self.file.read(1) == b""


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    made = Connection(server.port)
    yield made
    made.socket.close()


def post(body: bytes, *extra: str, path: str = "/invocations", content_type: str = "application/json") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", *extra]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in extra):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def body_of(nonce: int, action: int = 0) -> bytes:
    return json.dumps(echo_body(nonce, action)).encode()


def test_an_answer_carries_request_id_version_and_timing(server: Server) -> None:
    answer = httpx.post(f"{server.url}/invocations", json=echo_body(1), headers={"X-Request-Id": "mine-1"})
    assert answer.json() == {"predictions": [[7, 1, 7]]}
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-model-version"] == "echo/1"
    assert answer.headers["server-timing"].startswith("queue;dur=")


def test_a_request_without_an_id_is_given_one(server: Server) -> None:
    ids = {httpx.post(f"{server.url}/invocations", json=echo_body(1)).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_an_error_says_whether_it_is_the_models_fault_or_the_callers(server: Server) -> None:
    raised = httpx.post(f"{server.url}/invocations", json=echo_body(1, RAISE))
    refused = httpx.post(f"{server.url}/invocations", json={"inputs": "none of it"})
    assert (raised.status_code, raised.headers["x-servery-fault"]) == (400, "model")
    assert (refused.status_code, refused.headers.get("x-servery-fault")) == (400, None)


def test_many_requests_go_over_one_connection(connection: Connection) -> None:
    for nonce in range(20):
        connection.send(post(body_of(nonce)))
        assert json.loads(connection.answer().body)["predictions"][0][1] == nonce


def test_requests_sent_at_once_are_answered_in_their_order(connection: Connection) -> None:
    connection.send(b"".join(post(body_of(nonce)) for nonce in range(50)))
    assert [json.loads(connection.answer().body)["predictions"][0][1] for _ in range(50)] == list(range(50))


def test_a_head_and_body_may_come_a_byte_at_a_time(connection: Connection) -> None:
    for byte in post(body_of(3)):
        connection.send(bytes([byte]))
    assert connection.answer().status == 200


def test_a_chunked_body_is_read(connection: Connection) -> None:
    body = body_of(4)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"
    connection.send(post(b"", "Transfer-Encoding: chunked") + chunks)
    assert json.loads(connection.answer().body)["predictions"] == [[7, 4, 28]]


def test_a_caller_that_asks_to_go_on_is_told_to(connection: Connection) -> None:
    body = body_of(5)
    connection.send(post(b"", "Expect: 100-continue", f"Content-Length: {len(body)}"))
    assert connection.answer().status == 100
    connection.send(body)
    assert connection.answer().status == 200


def test_connection_close_is_kept(connection: Connection) -> None:
    connection.send(post(body_of(6), "Connection: close"))
    assert connection.answer().headers["connection"] == "close"
    assert connection.at_end()


def test_http_1_0_ends_with_its_answer(connection: Connection) -> None:
    connection.send(post(body_of(6)).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert connection.answer().status == 200
    assert connection.at_end()


@pytest.mark.parametrize("path", ["/ping", "/health", "/livez", "/readyz", "/version", "/metrics"])
def test_probes_answer_get_and_head(connection: Connection, path: str) -> None:
    connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    got = connection.answer()
    connection.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (got.status, connection.answer(head_only=True).status) == (200, 200)
    assert got.body


@pytest.mark.parametrize(
    ("request_bytes", "status", "says"),
    [
        pytest.param(b"GET /invocations HTTP/1.1\r\nHost: x\r\n\r\n", 405, "use POST", id="another method"),
        pytest.param(post(b"{}", path="/nowhere"), 404, "/nowhere", id="a path that is none"),
        pytest.param(post(b"{}", path="/endpoints/ham/invocations"), 404, "Endpoint 'ham' not found", id="an endpoint"),
        pytest.param(post(b"{}", content_type="text/plain"), 415, "text/plain", id="another content type"),
        pytest.param(
            post(b"{}").replace(b"Content-Type: application/json\r\n", b""),
            415,
            "No Content-Type",
            id="no content type",
        ),
        pytest.param(post(b"{}", "Content-Encoding: br"), 415, "Content-Encoding 'br'", id="an unknown coding"),
        pytest.param(post(b"{}", "Content-Encoding: gzip"), 400, "no gzip data", id="another coding than is said"),
        pytest.param(post(b"{}", "X-Request-Timeout-Ms: soon"), 400, "X-Request-Timeout-Ms", id="a deadline"),
        pytest.param(post(b"{nonsense"), 400, "JSON", id="a body that is no JSON"),
        pytest.param(post(b"[1]"), 400, "inputs", id="a body that is no object"),
        pytest.param(post(b'{"foo": 1}'), 400, "exactly one", id="no input field"),
        pytest.param(post(b'{"inputs": [[1,0]], "instances": [[1,0]]}'), 400, "exactly one", id="two input fields"),
    ],
)
def test_a_wrong_call_gets_one_clear_sentence_and_the_connection_goes_on(
    connection: Connection, request_bytes: bytes, status: int, says: str
) -> None:
    connection.send(request_bytes)
    answer = connection.answer()
    assert answer.status == status
    assert set(json.loads(answer.body)) == {"error_code", "message"}
    assert says in json.loads(answer.body)["message"]
    connection.send(post(body_of(8)))
    assert connection.answer().status == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
        pytest.param(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431, id="a head too large"),
        pytest.param(b"GET /" + b"a" * 200_000, 431, id="a path without end"),
        pytest.param(b"GET /ping HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431, id="too many headers"),
        pytest.param(post(b"", f"Content-Length: {BODY_BYTES_MAX + 1}"), 413, id="a body announced too large"),
        pytest.param(
            post(b"", "Transfer-Encoding: chunked") + b"%x\r\n" % (BODY_BYTES_MAX + 1) + b"1" * (BODY_BYTES_MAX + 1),
            413,
            id="a chunked body too large",
        ),
        pytest.param(
            post(b"5\r\nhello\r\n0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked"), 400, id="two lengths"
        ),
        pytest.param(post(b"{}", "Content-Length: 2", "Content-Length: 3"), 400, id="two content lengths"),
        pytest.param(post(b"", "Content-Length: -1"), 400, id="a negative length"),
        pytest.param(post(b"", "Content-Length: 99999999999999999999999"), 400, id="a length beyond all bounds"),
        pytest.param(post(b"zz\r\n", "Transfer-Encoding: chunked"), 400, id="a chunk size that is none"),
    ],
)
def test_what_cannot_be_read_on_is_answered_and_the_connection_ends(
    server: Server, connection: Connection, request_bytes: bytes, status: int
) -> None:
    connection.send(request_bytes)
    answer = connection.answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.at_end()
    assert httpx.post(f"{server.url}/invocations", json=echo_body(9)).status_code == 200


def test_an_unknown_coding_is_answered_with_what_is_taken(connection: Connection) -> None:
    connection.send(post(b"\x1f\x8b", "Content-Encoding: br"))
    answer = connection.answer()
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "zstd, gzip, deflate")
    connection.send(post(body_of(2), "Content-Encoding: Identity"))
    assert connection.answer().status == 200


def test_a_full_queue_is_answered_with_503_and_when_to_try_again(server: Server) -> None:
    busy = Connection(server.port)
    busy.send(post(body_of(1, SLEEP)))
    wait_until(lambda: 'servery_workers_busy{version="echo/1"} 1.0' in metrics(server), "the worker is busy")
    waiting = [Connection(server.port) for _ in range(4)]
    for one in waiting:
        one.send(post(body_of(2)))
    wait_until(lambda: 'servery_requests_waiting{version="echo/1"} 4.0' in metrics(server), "four requests wait")
    answer = httpx.post(f"{server.url}/invocations", json=echo_body(3))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert [one.answer().status for one in (busy, *waiting)] == [200] * 5


def metrics(server: Server) -> str:
    return httpx.get(f"{server.url}/metrics").text


def test_a_request_whose_caller_has_left_is_not_predicted(server: Server) -> None:
    busy = Connection(server.port)
    busy.send(post(body_of(1, SLEEP)))
    wait_until(lambda: 'servery_workers_busy{version="echo/1"} 1.0' in metrics(server), "the worker is busy")
    leaver = Connection(server.port)
    leaver.send(post(body_of(2)))
    wait_until(lambda: 'servery_requests_waiting{version="echo/1"} 1.0' in metrics(server), "the request waits")
    sent = requests_sent(server)
    leaver.socket.close()
    leaver.file.close()
    wait_until(lambda: 'servery_requests_waiting{version="echo/1"} 0.0' in metrics(server), "its place is free")
    assert busy.answer().status == 200
    assert requests_sent(server) == sent


def requests_sent(server: Server) -> str:
    return next(line for line in metrics(server).splitlines() if line.startswith("servery_batch_requests_total"))


def test_sigterm_lets_what_was_accepted_finish_and_ends_with_status_0(echo_folder: Path, tmp_path: Path) -> None:
    with serving(echo_folder, tmp_path / "home") as running:
        slow = Connection(running.port)
        slow.send(post(body_of(1, SLEEP)))
        wait_until(lambda: 'servery_workers_busy{version="echo/1"} 1.0' in metrics(running), "the worker is busy")
        started = time.monotonic()
        assert running.terminate() == 0
        answer = slow.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert time.monotonic() - started < 10


def test_deadlines_that_pass_one_after_another_on_one_connection_are_each_answered(server: Server) -> None:
    busy, late = Connection(server.port), Connection(server.port)
    busy.send(post(body_of(1, SLEEP)))
    wait_until(lambda: 'servery_workers_busy{version="echo/1"} 1.0' in metrics(server), "the worker is busy")
    late.send(b"".join(post(body_of(nonce), "X-Request-Timeout-Ms: 60") for nonce in range(4)))
    assert [late.answer().status for _ in range(4)] == [504] * 4
    assert busy.answer().status == 200
    assert httpx.post(f"{server.url}/invocations", json=echo_body(3)).status_code == 200
