"""The client against real servers: what predictions come back as, and how it finds its way to them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest

import servery
from servery.errors import AnswerLate, ModelFailed, NotFound, RequestRefused, Unreachable
from tests.models import RAISE, SLEEP, save_echo
from tests.servers import Both, Server, both_planes, serving


@pytest.fixture(scope="module")
def price(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``servery serve`` of a model that takes a table and a param, and gives an array."""

    def predict(frame: Any, params: Any = None) -> Any:
        return (frame["size"] * params["rate"]).to_numpy()

    folder = tmp_path_factory.mktemp("price")
    frame = pd.DataFrame({"size": [10.0, 20.0], "city": ["Bern", "Basel"]})
    servery.save_model(predict, folder / "price", input_example=(frame, {"rate": 2.0}), requirements=["pandas"])
    with serving(folder / "price", folder / "home") as server:
        yield server


ROOMS = pd.DataFrame({"size": [10.0, 20.0], "city": ["Bern", "Basel"]})
TABLE = pa.table({"size": [10.0, 20.0], "city": ["Bern", "Basel"]})
TABLES: dict[str, Any] = {
    "a frame": lambda: ROOMS,
    "a mapping of lists": lambda: {"size": [10.0, 20.0], "city": ["Bern", "Basel"]},
    "a mapping of arrays": lambda: {"size": np.array([10.0, 20.0]), "city": np.array(["Bern", "Basel"])},
    "a list of rows": lambda: [{"size": 10.0, "city": "Bern"}, {"size": 20.0, "city": "Basel"}],
    "a whole request": lambda: {"dataframe_records": ROOMS.to_dict(orient="records")},
    "an Arrow table": lambda: TABLE,
    "an Arrow record batch": lambda: TABLE.to_batches()[0],
    "a reader of batches": lambda: pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches()),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_table_of_any_kind_is_predicted(price: Server, what: str) -> None:
    with servery.Client(gateway=price.url) as client:
        assert list(client.predict(None, TABLES[what]())) == [20.0, 40.0]
        assert list(client.predict("price", TABLES[what](), {"rate": 3.0})) == [30.0, 60.0]


def test_the_whole_prediction_says_what_the_gateway_said(price: Server) -> None:
    with servery.Client(gateway=price.url) as client:
        got = client.prediction(None, TABLES["a list of rows"](), request_id="order-17")
    assert (got.model_version, got.request_id, got.attempts, got.coerced) == ("price/1", "order-17", 1, ())
    assert got.latency_ms > 0


def test_a_request_that_breaks_the_signature_is_the_callers_fault(price: Server) -> None:
    with servery.Client(gateway=price.url) as client, pytest.raises(RequestRefused, match="city") as caught:
        client.predict(None, ROOMS[["size"]])
    assert (caught.value.status, caught.value.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert caught.value.model_version == "price/1"


def test_an_endpoint_that_is_not_there_is_told_by_the_gateway_and_by_the_control_plane(
    both: Both, client: servery.Client
) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        client.predict("nowhere", [[1, 0]])
    with servery.Client(gateway=both.gateway_url) as direct, pytest.raises(NotFound, match="nowhere"):
        direct.predict("nowhere", [[1, 0]])


@pytest.fixture(scope="module")
def echo(both: Both, echo_folders: tuple[Path, Path]) -> str:
    with servery.Client(both.up.url) as client:
        client.register(echo_folders[0], name="parrot")
        client.deploy("parrot", "models:/parrot/1")
    return "parrot"


def test_the_control_plane_says_where_an_endpoint_is(client: servery.Client, echo: str) -> None:
    assert client.predict(echo, [[4, 0]]) == [[1, 4, 4]]


def test_the_twin_finds_it_alike_and_asks_for_many_at_once(both: Both, echo: str) -> None:
    async def run() -> list[Any]:
        async with servery.AsyncClient(both.up.url, connections_max=8) as client:
            return await asyncio.gather(*(client.predict(echo, [[number, 0]]) for number in range(100)))

    assert asyncio.run(run()) == [[[1, number, number]] for number in range(100)]


def test_a_model_that_raises_is_told_from_a_request_that_is_wrong(client: servery.Client, echo: str) -> None:
    with pytest.raises(ModelFailed, match="not for me"):
        client.predict(echo, [[1, RAISE]])
    with pytest.raises(RequestRefused, match="int64"):
        client.predict(echo, [["a", "b"]])


def test_a_call_that_takes_too_long_is_late(client: servery.Client, echo: str) -> None:
    with pytest.raises(AnswerLate, match=r"0\.2 s"):
        client.predict(echo, [[1, SLEEP]], timeout_seconds=0.2)


def test_predictions_go_on_without_the_control_plane_once_a_place_is_known(
    echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with both_planes(tmp_path / "home") as both, servery.Client(both.up.url) as client:
        client.register(echo_folders[0], name="parrot")
        client.deploy("parrot", "models:/parrot/1")
        assert client.predict("parrot", [[4, 0]]) == [[1, 4, 4]]
        with stopped(both, "control"):
            assert client.predict("parrot", [[5, 0]]) == [[1, 5, 5]]
            with servery.Client(both.up.url, timeout_seconds=1.0) as other, pytest.raises(AnswerLate):
                other.predict("parrot", [[5, 0]])


def test_a_worker_that_is_killed_costs_a_caller_nothing(tmp_path: Path) -> None:
    package = save_echo(tmp_path / "echo", 1)
    with serving(package, tmp_path / "home") as server, servery.Client(gateway=server.url) as client:
        assert client.predict(None, [[4, 0]]) == [[1, 4, 4]]
        for worker in server.workers():
            worker.kill()
        assert client.predict(None, [[5, 0]]) == [[1, 5, 5]]


def test_a_gateway_that_is_gone_is_named_with_what_to_start(tmp_path: Path) -> None:
    with serving(save_echo(tmp_path / "echo", 1), tmp_path / "home") as server:
        client = servery.Client(gateway=server.url)
        assert client.predict(None, [[4, 0]]) == [[1, 4, 4]]
        server.terminate()
    with client, pytest.raises(Unreachable, match=r"Nothing answers at .*servery serve"):
        client.predict(None, [[4, 0]])


class stopped:  # noqa: N801 - reads as what it does
    """One of the two planes stands still, for as long as the block."""

    def __init__(self, both: Both, role: str) -> None:
        child = both.child(role)
        assert child is not None
        self._process: psutil.Process = child

    def __enter__(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGCONT)
