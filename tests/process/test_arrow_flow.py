"""Arrow bodies that are answered while they come in, against a running server."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import httpx
import pyarrow as pa
import pytest

from tests.flows.measure import ARROW, BATCH_BYTES, Watch, batch_of, body_of, flow, save_identity
from tests.servers import Server, serving, wait_until

BOTH_WAYS = {"Content-Type": ARROW, "Accept": ARROW}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("flows")
    with serving(save_identity(root / "identity"), root / "home", settings={"body_bytes_max": 16 << 20}) as running:
        yield running


def post(server: Server, body: Iterator[bytes] | bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/invocations", content=body, headers=BOTH_WAYS, timeout=60)


def test_a_hundred_megabytes_take_the_memory_of_a_few_record_batches(server: Server) -> None:
    flow(server, 3)
    with Watch(server) as memory:
        flow(server, 25)
    assert memory.gateway_growth < 8 * BATCH_BYTES
    assert memory.worker_growth < 8 * BATCH_BYTES


def test_a_caller_that_reads_only_when_it_has_sent_all_gets_the_whole_answer(server: Server) -> None:
    with Watch(server) as memory:
        answer = post(server, body_of(15))
    assert answer.headers["content-type"] == ARROW
    assert list(pa.ipc.open_stream(answer.content)) == [batch_of(number) for number in range(15)]
    assert memory.gateway_growth < 8 * BATCH_BYTES


def test_a_body_of_known_length_flows_where_it_is_larger_than_bodies_may_be(server: Server) -> None:
    body = b"".join(body_of(5))
    with httpx.Client(base_url=server.url, headers=BOTH_WAYS, timeout=60) as client:
        for _ in range(2):  # The connection goes on.
            answer = client.post("/invocations", content=body)
            assert pa.ipc.open_stream(answer.content).read_all().equals(pa.ipc.open_stream(body).read_all())
        refused = client.post("/invocations", content=body, headers={"Accept": "application/json"})
    assert refused.status_code == 413


def cut(pieces: int, end: bytes) -> Iterator[bytes]:
    yield from islice(body_of(9), pieces)
    yield end


def test_what_is_wrong_with_the_first_record_batch_is_an_answer_of_its_own(server: Server) -> None:
    answer = post(server, (b"no stream" * (1 << 10) for _ in range(1 << 11)))
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json()["message"].startswith("The body is not an Arrow stream: ")
    table = pa.table({"other": [1.0] * (2 << 20)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1 << 16)
    answer = post(server, sink.getvalue())
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("end", [b"", b"\xff\xff\xff\xff\xff\xff\xff\x7f"], ids=["cut short", "broken"])
def test_an_answer_that_was_begun_breaks_off_where_the_body_does(end: bytes, server: Server) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        post(server, cut(5, end))


def test_a_record_batch_that_is_too_large_to_flow_is_refused(server: Server) -> None:
    sink, table = io.BytesIO(), pa.table({"x": pa.nulls((64 << 20) + 1, pa.int8())})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = post(server, sink.getvalue())
    assert answer.status_code == 400
    assert answer.json()["message"].endswith("write smaller record batches.")


def begun(server: Server) -> socket.socket:
    """A flow that stands still: some of its body has been sent, and some of its answer has come."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = "".join(f"{name}: {value}\r\n" for name, value in BOTH_WAYS.items())
    connection.sendall(f"POST /invocations HTTP/1.1\r\nHost: x\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    for piece in islice(body_of(9), 3):
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def open_flows(server: Server) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("servery_streams_open{")).split()[-1])


def test_a_flow_that_stands_still_holds_up_nobody_and_ends_when_its_caller_leaves(server: Server) -> None:
    with begun(server), begun(server):
        assert open_flows(server) == 2
        row = {f"x{column}": 1.0 for column in range(8)}
        answer = httpx.post(f"{server.url}/invocations", json={"dataframe_records": [row]})
        assert answer.json() == {"predictions": [row]}
        assert list(pa.ipc.open_stream(post(server, body_of(3)).content)) == [batch_of(number) for number in range(3)]
    wait_until(lambda: open_flows(server) == 0, "the worker is told that both callers have left")


def test_an_answer_breaks_off_where_the_model_s_process_ends(server: Server) -> None:
    with begun(server) as connection:
        [worker] = server.workers()
        worker.kill()
        with suppress(ConnectionResetError):
            while connection.recv(1 << 20):
                pass
    wait_until(lambda: server.is_ready() and server.workers() not in ([], [worker]), "another worker is ready")
    wait_until(lambda: post(server, body_of(1)).status_code == 200, "it answers")
