"""What happens to callers when a model raises, hangs or dies: real workers, real signals."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.load import Load
from tests.models import EXIT, HANG, RAISE, SLEEP, SLEEP_SECONDS, echo_body, is_echo, spoil
from tests.process.test_http import Connection, metrics, post
from tests.servers import Server, free_port, servery_process, serving, wait_until


@pytest.fixture(scope="module")
def server(echo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(echo_folder, tmp_path_factory.mktemp("two") / "home", workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def lone(echo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(echo_folder, tmp_path_factory.mktemp("one") / "home", workers=1) as running:
        yield running


async def ask_all(server: Server, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    """Send all at once, each on its own connection; the answers in the same order."""
    limits = httpx.Limits(max_connections=len(bodies))
    async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client:
        return list(await asyncio.gather(*(client.post("/invocations", json=body) for body in bodies)))


def occupied(server: Server, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    """Send ``bodies`` while the one worker is busy, so that they are predicted in one batch."""

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            busy = asyncio.create_task(client.post("/invocations", json=echo_body(1, SLEEP)))
            while "servery_workers_busy{version=" not in (text := (await client.get("/metrics")).text) or (
                "} 1.0" not in text.split("servery_workers_busy{")[1].split("\n")[0]
            ):
                await asyncio.sleep(0.005)
            answers = await ask_all(server, bodies)
            await busy
            return answers

    return asyncio.run(run())


def batch_of(answer: httpx.Response) -> int:
    """How many requests the answer's batch held, as ``Server-Timing`` says."""
    return int(answer.headers["server-timing"].split('batch;desc="')[1].split('"')[0])


def test_one_bad_row_among_31_good_ones_fails_alone(lone: Server) -> None:
    bodies = [echo_body(nonce) for nonce in range(31)]
    bodies.insert(13, {"inputs": [["not a number", 0]]})
    answers = occupied(lone, bodies)
    bad = answers.pop(13)
    assert bad.status_code == 400
    assert "not a number" in bad.json()["message"]
    assert [batch_of(answer) for answer in answers] == [32] * 31
    assert all(is_echo(nonce, answer.json()["predictions"]) for nonce, answer in enumerate(answers))


def test_a_model_that_raises_on_a_value_fails_the_request_with_that_value_only(lone: Server) -> None:
    answers = occupied(lone, [echo_body(nonce, RAISE if nonce == 5 else 0) for nonce in range(32)])
    raised = answers.pop(5)
    assert raised.status_code == 400
    assert raised.json()["error_code"] == "BAD_REQUEST"
    assert "this value is not for me" in raised.json()["message"]
    assert "Traceback" not in raised.text
    assert [answer.status_code for answer in answers] == [200] * 31


def test_a_request_that_ends_two_workers_is_refused_and_its_neighbours_are_answered(lone: Server) -> None:
    answers = occupied(lone, [echo_body(nonce, EXIT if nonce == 3 else 0) for nonce in range(8)])
    poison = answers.pop(3)
    assert poison.status_code == 500
    assert "not tried again" in poison.json()["message"]
    assert [answer.status_code for answer in answers] == [200] * 7


def test_a_deadline_that_passes_is_answered_with_504(lone: Server) -> None:
    started = time.monotonic()
    answer = httpx.post(f"{lone.url}/invocations", json=echo_body(1, SLEEP), headers={"X-Request-Timeout-Ms": "100"})
    assert answer.status_code == 504
    assert answer.json()["error_code"] == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < SLEEP_SECONDS


def test_a_worker_that_hangs_is_replaced_once_nobody_waits_for_it(echo_folder: Path, tmp_path: Path) -> None:
    with serving(echo_folder, tmp_path / "home", settings={"request_timeout_seconds": 1}) as running:
        (hung,) = (worker.pid for worker in running.workers())
        assert httpx.post(f"{running.url}/invocations", json=echo_body(1, HANG), timeout=10).status_code == 504
        wait_until(lambda: hung not in {worker.pid for worker in running.workers()}, "the hung worker is gone")
        answer = httpx.post(
            f"{running.url}/invocations", json=echo_body(2), headers={"X-Request-Timeout-Ms": "20000"}, timeout=30
        )
        assert is_echo(2, answer.json()["predictions"])


def test_a_worker_killed_again_and_again_costs_no_request(server: Server) -> None:
    async def run() -> Load:
        load = Load(server.port, "/invocations", echo_body, is_echo, connections=8, per_second=400)
        running = asyncio.create_task(load.run())
        for _ in range(4):
            await asyncio.sleep(1)
            server.workers()[0].send_signal(signal.SIGKILL)
        load.stop()
        await running
        return load

    load = asyncio.run(run())
    assert len(load.samples) > 1000
    assert load.failures == []


def test_workers_end_with_their_gateway_even_when_it_is_killed(echo_folder: Path, tmp_path: Path) -> None:
    with serving(echo_folder, tmp_path / "home", workers=2) as running:
        workers = running.workers()
        assert len(workers) == 2
        running.process.kill()
        running.process.wait()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == []


def test_a_worker_sees_none_of_the_servers_secrets(echo_folder: Path, tmp_path: Path) -> None:
    secret = {"MLFLOW_TRACKING_TOKEN": "wf83-secret", "AWS_SECRET_ACCESS_KEY": "wf83-secret"}
    with serving(echo_folder, tmp_path / "home") as running:
        del secret
        (worker,) = running.workers()
        assert not set(worker.environ()) - {
            "PATH",
            "HOME",
            "LANG",
            "LC_ALL",
            "LC_CTYPE",
            "TMPDIR",
            "TZ",
            "LD_LIBRARY_PATH",
            "SSL_CERT_FILE",
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "NUMEXPR_NUM_THREADS",
            "PYTHONUNBUFFERED",
            "MLFLOW_DISABLE_TELEMETRY",
            "_MLFLOW_IS_IN_SERVING_ENVIRONMENT",
        }


def test_sigterm_while_a_model_loads_ends_at_once_with_status_0(echo_folder: Path, tmp_path: Path) -> None:
    slow = spoil(Path(shutil.copytree(echo_folder, tmp_path / "slow")), "hang")
    port = free_port()
    arguments = ("serve", str(slow), "-p", str(port), "--home", str(tmp_path / "home"))
    with servery_process(*arguments, port=port, log=tmp_path / "log") as running:
        wait_until(lambda: len(running.workers()) == 1, "a worker loads")
        workers = running.workers()
        started = time.monotonic()
        assert running.terminate() == 0
        assert time.monotonic() - started < 5
        _, alive = psutil.wait_procs(workers, timeout=5)
        assert alive == []


def test_a_drain_with_a_worker_that_hangs_ends_within_its_time(echo_folder: Path, tmp_path: Path) -> None:
    with serving(echo_folder, tmp_path / "home", settings={"drain_timeout_seconds": 2}) as running:
        workers = running.workers()
        hung = Connection(running.port)
        hung.send(post(json.dumps(echo_body(1, HANG)).encode()))
        wait_until(lambda: "} 1.0" in busy_line(running), "it is busy")
        started = time.monotonic()
        assert running.terminate() == 0
        assert time.monotonic() - started < 4
        assert hung.answer().status == 503
        assert "1 requests are lost" in running.log.read_text()
        _, alive = psutil.wait_procs(workers, timeout=5)
        assert alive == []


def busy_line(server: Server) -> str:
    return next(line for line in metrics(server).splitlines() if line.startswith("servery_workers_busy{"))


def test_a_second_sigterm_ends_a_drain_at_once(echo_folder: Path, tmp_path: Path) -> None:
    with serving(echo_folder, tmp_path / "home") as running:
        hung = Connection(running.port)
        hung.send(post(json.dumps(echo_body(1, HANG)).encode()))
        wait_until(lambda: "} 1.0" in busy_line(running), "it is busy")
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "draining" in running.log.read_text(), "it drains")
        assert running.terminate() == 0
        assert hung.answer().status == 503


def test_a_second_gateway_on_one_home_is_refused_in_a_sentence(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    first, second = free_port(), free_port()
    with servery_process("gateway", "--gateway-port", str(first), "--home", str(home), port=first, log=log) as running:
        wait_until(running.is_ready, "the first gateway is ready")
        arguments = ("gateway", "--gateway-port", str(second), "--home", str(home))
        with servery_process(*arguments, port=second, log=tmp_path / "second") as other:
            assert other.process.wait(timeout=20) == 1
            assert "Another gateway uses the home folder" in other.log.read_text()
