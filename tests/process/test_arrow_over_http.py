"""Arrow and Parquet over HTTP, by stock clients, against a running server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import servery
from tests.models import by_value
from tests.servers import Server, serving

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
FRAME = pd.DataFrame({"size": [10.0, 20.0], "city": ["Bern", "Basel"]})


class Price(servery.PythonModel):
    """Doubles what it is sent, in the very frame that it was given."""

    def predict(self, model_input: Any, params: Any = None) -> Any:
        model_input.loc[:, "size"] *= 2
        return model_input


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("arrow")
    with by_value(__name__):
        servery.save_model(Price(), root / "price", input_example=FRAME, requirements=["pandas", "pyarrow"])
    with serving(root / "price", root / "home", settings={"body_bytes_max": 1 << 20}) as running:
        yield running


def stream(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def post(
    server: Server, body: bytes, content_type: str, accept: str | None, path: str = "/invocations"
) -> httpx.Response:
    headers = {"Content-Type": content_type} | ({"Accept": accept} if accept else {})
    return httpx.post(f"{server.url}{path}", content=body, headers=headers)


def frame_of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] == ARROW:
        return pa.ipc.open_stream(answer.content).read_all().to_pandas()
    assert answer.headers["content-type"] == PARQUET
    return pq.read_table(io.BytesIO(answer.content)).to_pandas()


@pytest.mark.parametrize("path", ["/invocations", "/endpoints/price/invocations"])
@pytest.mark.parametrize("accept", [ARROW, PARQUET])
@pytest.mark.parametrize("content_type", [ARROW, PARQUET, "application/json", "text/csv"])
def test_every_form_is_answered_as_the_caller_likes_it(
    content_type: str, accept: str, path: str, server: Server
) -> None:
    bodies = {
        ARROW: stream(pa.Table.from_pandas(FRAME)),
        PARQUET: FRAME.to_parquet(),
        "application/json": b'{"dataframe_split": %b}' % FRAME.to_json(orient="split").encode(),
        "text/csv": FRAME.to_csv(index=False).encode(),
    }
    answer = post(server, bodies[content_type], content_type, accept, path)
    pd.testing.assert_frame_equal(frame_of(answer), FRAME.assign(size=FRAME["size"] * 2))


def test_json_is_answered_where_nothing_else_is_asked_for(server: Server) -> None:
    for accept in (None, "*/*", "application/json"):
        answer = post(server, stream(pa.Table.from_pandas(FRAME[:1])), ARROW, accept)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"predictions": [{"size": 20.0, "city": "Bern"}]}


def test_what_no_answer_fits_is_refused_before_the_model_is_asked(server: Server) -> None:
    answer = post(server, b"no table", ARROW, "text/csv")
    assert answer.status_code == 406
    assert answer.json()["message"].startswith("Accept 'text/csv' takes nothing that there is: application/json, ")


def test_an_error_is_json_whatever_form_the_answer_was_to_have(server: Server) -> None:
    answer = post(server, stream(pa.table({"size": [1.0]})), ARROW, ARROW)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json()["message"] == "Column 'city' is missing; the input has 'size'."


def test_a_broken_stream_costs_no_worker(server: Server) -> None:
    [worker] = server.workers()
    body = stream(pa.Table.from_pandas(FRAME))
    for length in range(0, len(body), 301):
        answer = post(server, body[:length], ARROW, ARROW)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert server.workers() == [worker]
