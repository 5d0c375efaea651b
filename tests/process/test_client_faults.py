"""The client against servers that fail as real ones do: what is tried again, when it gives up, and what it raises.

Each test is made twice, with threads and with asyncio.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest

import servery
from servery.client import Prediction, RetryPolicy
from servery.errors import (
    AccessDenied,
    AnswerLate,
    CallerError,
    DeadlinePassed,
    InvalidInput,
    LimitError,
    ModelFailed,
    NotFound,
    Overloaded,
    PredictFailed,
    RemoteError,
    RequestRefused,
    RequestTooLarge,
    StreamBroken,
    Unreachable,
)
from tests.faulty import (
    BODY_THAT_DRIPS,
    HEAD_THAT_DRIPS,
    Faulty,
    Turn,
    answer,
    drip,
    events,
    faulty,
    half,
    reset,
    silence,
)
from tests.servers import free_port

SOON = RetryPolicy(backoff_seconds=0.01)


class Twin(Protocol):
    """What a test does with either client."""

    def predict(self, **options: Any) -> Prediction: ...

    def stream(self, **options: Any) -> Generator[Any, None, None]:
        """Closed when the iterator is."""


class Threads:
    def __init__(self, client: servery.Client) -> None:
        self._client = client

    def predict(self, **options: Any) -> Prediction:
        return self._client.prediction(None, [1], **options)

    def stream(self, **options: Any) -> Generator[Any, None, None]:
        with self._client.predict_stream(None, [1], **options) as parts:
            yield from parts


class Asyncio:
    def __init__(self, runner: asyncio.Runner, client: servery.AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def predict(self, **options: Any) -> Prediction:
        return self._runner.run(self._client.prediction(None, [1], **options))

    def stream(self, **options: Any) -> Generator[Any, None, None]:
        parts = self._client.predict_stream(None, [1], **options)

        async def one() -> Any:
            return await anext(parts, None)

        try:
            while (part := self._runner.run(one())) is not None:
                yield part
        finally:
            self._runner.run(parts.close())


Open = Callable[..., Twin]


@pytest.fixture(params=["threads", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Makes the client of a gateway, of this test's kind."""
    with asyncio.Runner() as runner:
        closers: list[Callable[[], object]] = []

        def open_client(gateway: str, **options: Any) -> Twin:
            options = {"gateway": gateway, "retries": SOON, "timeout_seconds": 10.0, **options}
            if request.param == "threads":
                client = servery.Client(**options)
                closers.append(client.close)
                return Threads(client)
            twin = servery.AsyncClient(**options)
            closers.append(lambda: runner.run(twin.close()))
            return Asyncio(runner, twin)

        yield open_client
        for close in closers:
            close()


def elapsed(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


# What is tried again.


@pytest.mark.parametrize(
    "fault",
    [reset(), half(), answer(503, {}), answer(429, {}, Retry_After="0"), answer(502, b"<html>")],
    ids=["reset", "half an answer", "503", "429", "502"],
)
def test_a_request_is_sent_again_where_another_attempt_may_be_answered(connect: Open, fault: Turn) -> None:
    with faulty(fault, fault, answer()) as server:
        got = connect(server.url).predict(request_id="order-17")
    assert (got.predictions, got.attempts) == ([1], 3)
    assert {asked.headers["x-request-id"] for asked in server.asked} == {"order-17"}
    assert len({asked.body for asked in server.asked}) == 1


def test_a_connection_that_the_server_closed_meanwhile_costs_one_more_attempt(connect: Open) -> None:
    with faulty(answer(), reset(), answer()) as server:
        client = connect(server.url)
        assert client.predict().attempts == 1
        assert client.predict().attempts == 2


def test_nothing_is_tried_before_the_server_said(connect: Open) -> None:
    with faulty(answer(503, {}, Retry_After="1"), answer()) as server:
        client = connect(server.url)
        assert elapsed(client.predict) >= 1
    assert len(server.asked) == 2


def test_a_server_that_wants_to_be_asked_after_the_deadline_is_not_waited_for(connect: Open) -> None:
    with faulty(answer(503, {"message": "Full."}, Retry_After="30")) as server:
        client = connect(server.url)
        with pytest.raises(Overloaded, match=r"^Full\.$") as caught:
            client.predict(timeout_seconds=5.0)
    assert (caught.value.retry_after_seconds, caught.value.attempts, caught.value.status) == (30, 1, 503)
    assert isinstance(caught.value, LimitError)


def test_a_server_that_stays_overloaded_is_given_up_after_four_attempts(connect: Open) -> None:
    with faulty(answer(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Full."})) as server:
        client = connect(server.url)
        with pytest.raises(Overloaded) as caught:
            client.predict()
    assert (caught.value.attempts, caught.value.error_code) == (4, "TEMPORARILY_UNAVAILABLE")
    assert len(server.asked) == 4


def test_a_client_without_retries_sends_once(connect: Open) -> None:
    with faulty(answer(503, {})) as server:
        client = connect(server.url, retries=RetryPolicy(attempts_max=1))
        with pytest.raises(Overloaded):
            client.predict()
    assert len(server.asked) == 1


def test_what_may_have_reached_the_model_is_not_sent_again_where_that_is_forbidden(connect: Open) -> None:
    with faulty(reset(), answer()) as server:
        client = connect(server.url, retries=RetryPolicy(resend=False))
        with pytest.raises(Unreachable, match="broke"):
            client.predict()
    assert len(server.asked) == 1


def test_an_outage_is_met_by_a_tenth_more_requests_and_ten(connect: Open) -> None:
    with faulty(answer(503, {})) as server:
        client = connect(server.url, retries=RetryPolicy(backoff_seconds=0.0))
        for _ in range(100):
            with pytest.raises(Overloaded):
                client.predict()
    assert 100 < len(server.asked) <= 120


# What is not.

REFUSALS: list[tuple[int, dict[str, str], type[RemoteError], type[Exception]]] = [
    (400, {}, RequestRefused, CallerError),
    (400, {"X_Servery_Fault": "model"}, ModelFailed, PredictFailed),
    (401, {}, AccessDenied, CallerError),
    (403, {}, AccessDenied, CallerError),
    (413, {}, RequestTooLarge, RequestRefused),
    (422, {}, RequestRefused, CallerError),
    (500, {}, RemoteError, RemoteError),
    (500, {"X_Servery_Fault": "model"}, ModelFailed, PredictFailed),
    (504, {}, AnswerLate, DeadlinePassed),
]


@pytest.mark.parametrize(("status", "headers", "kind", "also"), REFUSALS)
def test_each_reason_has_its_error_and_is_told_once(
    connect: Open, status: int, headers: dict[str, str], kind: type[RemoteError], also: type[Exception]
) -> None:
    body = {"error_code": "BAD_REQUEST", "message": "No soup."}
    told = {**headers, "X_Request_Id": "theirs", "X_Model_Version": "soup/3"}
    with faulty(answer(status, body, **told)) as server:
        client = connect(server.url)
        with pytest.raises(RemoteError, match=r"^No soup\.$") as caught:
            client.predict()
    error = caught.value
    assert (type(error), isinstance(error, also), len(server.asked)) == (kind, True, 1)
    assert (error.status, error.error_code) == (status, "BAD_REQUEST")
    assert (error.request_id, error.model_version, error.attempts) == ("theirs", "soup/3", 1)


def test_an_endpoint_that_is_not_there_is_not_found(connect: Open) -> None:
    with faulty(answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Not here."})) as server:
        client = connect(server.url)
        with pytest.raises(NotFound, match=r"^Not here\.$"):
            client.predict()


def test_an_answer_that_is_no_json_is_no_answer(connect: Open) -> None:
    with faulty(answer(200, b"<html>")) as server:
        client = connect(server.url)
        with pytest.raises(RemoteError, match="cannot be read"):
            client.predict()


def test_where_nothing_listens_the_error_says_what_to_start(connect: Open) -> None:
    client = connect(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match=r"Nothing answers at .*servery serve") as caught:
        client.predict()
    assert (caught.value.attempts, caught.value.status) == (4, None)


# When it gives up.

SLOW = {"nothing": silence(), "a head": drip(HEAD_THAT_DRIPS), "a body": drip(BODY_THAT_DRIPS)}


@pytest.mark.parametrize("what", SLOW)
def test_one_deadline_holds_for_the_whole_call_however_the_server_drags_it_out(connect: Open, what: str) -> None:
    with faulty(SLOW[what]) as server:
        client = connect(server.url)
        started = time.monotonic()
        with pytest.raises(AnswerLate, match=r"within 0\.5 s") as caught:
            client.predict(timeout_seconds=0.5)
        assert 0.5 <= time.monotonic() - started < 5
        assert server.left.wait(10), "the connection was closed"
    assert (caught.value.timeout_seconds, caught.value.attempts) == (0.5, 1)
    assert isinstance(caught.value, DeadlinePassed)


def test_the_server_is_told_what_is_left_of_the_deadline(connect: Open) -> None:
    with faulty(answer(503, {}, Retry_After="1"), answer()) as server:
        connect(server.url).predict(timeout_seconds=8.0)
    first, second = (int(asked.headers["x-request-timeout-ms"]) for asked in server.asked)
    assert 7000 < first <= 8000
    assert second <= first - 1000


def test_a_connection_is_waited_for_no_longer_than_the_deadline(connect: Open) -> None:
    with faulty(silence()) as server:
        client = connect(server.url, connections_max=1)
        with pytest.raises(AnswerLate):
            client.predict(timeout_seconds=0.3)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
def test_a_deadline_that_is_none_is_refused_before_anything_is_sent(connect: Open, seconds: float) -> None:
    with faulty(answer()) as server:
        client = connect(server.url)
        with pytest.raises(InvalidInput, match="timeout_seconds"):
            client.predict(timeout_seconds=seconds)
    assert server.asked == []


@pytest.mark.parametrize("request_id", ["", "a\nb", "größe", "x" * 129])
def test_a_request_id_that_fits_no_header_is_refused_before_anything_is_sent(connect: Open, request_id: str) -> None:
    with faulty(answer()) as server:
        client = connect(server.url)
        with pytest.raises(InvalidInput, match="request_id"):
            client.predict(request_id=request_id)
    assert server.asked == []


# Streams.


def data(*values: Any) -> list[bytes]:
    return [f"data: {json.dumps(value)}\n\n".encode() for value in values]


DONE = b"data: [DONE]\n\n"


def test_the_parts_of_a_stream_come_as_they_are_sent(connect: Open) -> None:
    with faulty(events(*data("a", {"b": 1}), ends=False)) as server:
        parts = connect(server.url).stream()
        assert [next(parts), next(parts)] == ["a", {"b": 1}]
        assert not server.left.is_set()
        parts.close()
        assert server.left.wait(10), "the server is told that nobody listens"


def test_a_stream_that_is_whole_leaves_its_connection_for_the_next(connect: Open) -> None:
    with faulty(events(*data(1, 2), DONE)) as server:
        client = connect(server.url)
        assert [list(client.stream()), list(client.stream())] == [[1, 2], [1, 2]]
    assert {asked.connection for asked in server.asked} == {1}


def test_a_stream_is_tried_again_until_it_begins(connect: Open) -> None:
    with faulty(reset(), answer(503, {}), events(*data(1), DONE)) as server:
        assert list(connect(server.url).stream()) == [1]


def test_a_stream_that_breaks_off_raises_after_its_parts_and_is_not_begun_anew(connect: Open) -> None:
    with faulty(events(*data(1), ends=None)) as server:
        parts = connect(server.url).stream()
        assert next(parts) == 1
        with pytest.raises(StreamBroken) as caught:
            next(parts)
    assert caught.value.model_version == "talk/2"
    assert len(server.asked) == 1


def test_a_model_that_raises_in_the_middle_is_its_own_error(connect: Open) -> None:
    error = b'data: {"error": "No more.", "error_code": "BAD_REQUEST"}\n\n'
    with faulty(events(*data(1), error)) as server:
        parts = connect(server.url).stream()
        assert next(parts) == 1
        with pytest.raises(ModelFailed, match=r"^No more\.$"):
            next(parts)


def test_a_stream_has_a_deadline_for_its_beginning_and_one_for_its_end(connect: Open) -> None:
    with faulty(silence(), events(*data(1), ends=False)) as server:
        client = connect(server.url)
        with pytest.raises(AnswerLate, match=r"0\.3 s"):
            next(client.stream(timeout_seconds=0.3))
        parts = client.stream(stream_timeout_seconds=1.0)
        assert next(parts) == 1
        with pytest.raises(AnswerLate, match="within 1 s"):
            next(parts)


# Many at once.


def echo() -> Turn:
    async def turn(asked: Any, writer: asyncio.StreamWriter) -> None:
        await answer(200, {"predictions": json.loads(asked.body)["inputs"]})(asked, writer)

    return turn


def connections_of(server: Faulty) -> int:
    return len({asked.connection for asked in server.asked})


def test_a_hundred_tasks_share_a_few_connections_and_each_gets_its_own_answer() -> None:
    async def run(url: str) -> list[Any]:
        async with servery.AsyncClient(gateway=url, connections_max=4) as client:
            return await asyncio.gather(*(client.predict(None, [number]) for number in range(100)))

    with faulty(echo()) as server:
        assert asyncio.run(run(server.url)) == [[number] for number in range(100)]
    assert connections_of(server) <= 4


def test_threads_share_a_client_and_each_gets_its_own_answer() -> None:
    with (
        faulty(echo()) as server,
        servery.Client(gateway=server.url, connections_max=4) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        assert list(pool.map(lambda number: client.predict(None, [number]), range(200))) == [[n] for n in range(200)]
    assert connections_of(server) < 50


def test_a_task_that_is_cancelled_closes_its_connection_and_harms_no_other() -> None:
    async def run(server: Faulty) -> Any:
        async with servery.AsyncClient(gateway=server.url, connections_max=1) as client:
            task = asyncio.create_task(client.predict(None, [1]))
            while not server.asked:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await client.predict(None, [2])

    with faulty(silence(), echo()) as server:
        assert asyncio.run(run(server)) == [2]
