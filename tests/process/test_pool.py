"""Workers come, go and die under a gateway, seen from inside it: real worker processes, no HTTP."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil
import pytest

import servery
from servery.clock import SystemClock
from servery.config import EnvManager, PackageSources
from servery.errors import DeadlinePassed
from servery.names import EndpointName, ModelName, Version
from servery.package.manifest import Manifest, manifest_of_folder
from servery.routing import PoolSpec, PoolState, Route, RoutingTable, Share, pool_key
from servery.serving.batcher import QueueLimits
from servery.serving.folder_package import FolderPackage
from servery.serving.gateway import Gateway
from servery.serving.targets import Served
from servery.workers.environments.store import Environments
from servery.workers.pool import LOG_BYTES_MAX, PoolSettings
from servery.workers.request import Answer, Request
from servery.workers.worker import Worker
from servery_worker.wire import Asked, MediaType, Outcome
from tests.models import HANG, NORMAL, SLEEP, echo_body, is_echo

pytestmark = pytest.mark.anyio
ENDPOINT = EndpointName("echo")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


def spec_of(manifest: Manifest, version: int = 7, replicas: int = 1) -> PoolSpec:
    name, number = ModelName("echo"), Version(version)
    return PoolSpec(pool_key(name, number, manifest.digest), name, number, manifest.digest, replicas)


def table_of(number: int, *specs: PoolSpec, routed: bool = True) -> RoutingTable:
    routes = (Route(ENDPOINT, (Share(specs[0].key, 100),)),) if specs and routed else ()
    return RoutingTable(number, specs, routes)


class Kitchen:
    """A gateway, and what a caller does with it."""

    def __init__(
        self, folder: Path, logs: Path, packages: type[FolderPackage] = FolderPackage, **settings: float
    ) -> None:
        logs.mkdir(exist_ok=True)
        seconds = {"load_timeout_seconds": 30.0, "drain_timeout_seconds": 10.0, **settings}
        load, drain = seconds["load_timeout_seconds"], seconds["drain_timeout_seconds"]
        pools = PoolSettings(variables=os.environ, logs=logs, load_timeout_seconds=load, drain_timeout_seconds=drain)
        self.manifest = manifest_of_folder(folder)
        given = packages(folder, self.manifest)
        self.hung_seconds = 1.0
        self.clock = SystemClock()
        environments = Environments(logs, EnvManager.LOCAL, PackageSources(), self.clock, build_timeout_seconds=30.0)
        self.gateway = Gateway(given, environments, pools, QueueLimits(1000, 1 << 24), self.clock, Random(1))
        self._numbers = iter(range(1, 1_000_000))

    async def __aenter__(self) -> Kitchen:
        self._sweeping = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.close()
        self._sweeping.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.gateway.sweep(self.hung_seconds)

    def apply(self, replicas: int, number: int = 1) -> None:
        self.gateway.apply(table_of(number, spec_of(self.manifest, replicas=replicas)))

    @property
    def served(self) -> Served:
        return self.gateway.served[0]

    def ask(self, nonce: int, action: int = NORMAL, *, timeout_seconds: float = 20) -> asyncio.Future[Answer]:
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        request = Request(
            Asked(MediaType.JSON, json.dumps(echo_body(nonce, action)).encode()),
            number=next(self._numbers),
            arrived=self.clock.monotonic(),
            timeout_seconds=timeout_seconds,
            on_answer=lambda _, answer: done.set_result(answer),
            on_refusal=lambda _, error: done.set_exception(error),
        )
        self.gateway.targets[ENDPOINT].admit(request)
        return done

    def kill(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            if worker.pid is not None:
                os.kill(worker.pid, signal.SIGKILL)

    async def busy_with(self, action: int, *, workers: int) -> list[asyncio.Future[Answer]]:
        """Start workers, and give each of them a request that is given up at once and keeps it busy."""
        self.apply(workers)
        await self.until(self.ready(workers), "the workers are ready")
        asked = []
        for count in range(1, workers + 1):
            asked.append(self.ask(count, action, timeout_seconds=0.3))
            await self.until(self.busy(count), "it is busy")
        await asyncio.wait(asked)
        assert all(isinstance(one.exception(), DeadlinePassed) for one in asked)
        return asked

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(20):
                while not condition():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within 20 s: {what}") from None

    def busy(self, count: int) -> Callable[[], bool]:
        return lambda: self.served.pool.statistics().workers_busy == count

    def ready(self, count: int) -> Callable[[], bool]:
        return lambda: self.served.pool.statistics().workers_ready == count


def check(nonce: int, answer: Answer) -> None:
    assert answer.outcome is Outcome.OK
    assert is_echo(nonce, json.loads(answer.body)["predictions"])


async def test_a_pool_made_smaller_under_load_costs_no_request(echo_folder: Path, tmp_path: Path) -> None:
    async with Kitchen(echo_folder, tmp_path / "logs") as kitchen:
        kitchen.apply(2)
        await kitchen.until(kitchen.ready(2), "two workers are ready")
        slow = [kitchen.ask(nonce, SLEEP) for nonce in range(2)]
        await kitchen.until(kitchen.busy(1), "a worker is busy")
        slow += [kitchen.ask(nonce, SLEEP) for nonce in range(2, 4)]
        await kitchen.until(kitchen.busy(2), "both workers are busy")
        waiting = [kitchen.ask(nonce) for nonce in range(4, 20)]
        kitchen.apply(1, number=2)
        for nonce, answer in enumerate(await asyncio.gather(*slow, *waiting)):
            check(nonce, answer)
        await kitchen.until(kitchen.ready(1), "one worker is left")


async def test_a_request_in_a_worker_that_leaves_keeps_its_deadline(echo_folder: Path, tmp_path: Path) -> None:
    async with Kitchen(echo_folder, tmp_path / "logs", drain_timeout_seconds=4) as kitchen:
        kitchen.apply(2)
        await kitchen.until(kitchen.ready(2), "two workers are ready")
        hung = [kitchen.ask(number, HANG, timeout_seconds=1.5) for number in range(2)]
        await kitchen.until(kitchen.busy(1), "a worker is busy")
        hung.append(kitchen.ask(2, HANG, timeout_seconds=1.5))
        await kitchen.until(kitchen.busy(2), "both workers are busy")
        kitchen.apply(1, number=2)
        async with asyncio.timeout(3):
            results = await asyncio.gather(*hung, return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["DeadlinePassed"] * 3


async def test_a_worker_is_replaced_while_another_takes_long_to_leave(echo_folder: Path, tmp_path: Path) -> None:
    async with Kitchen(echo_folder, tmp_path / "logs", drain_timeout_seconds=5) as kitchen:
        kitchen.hung_seconds = 60.0
        await kitchen.busy_with(HANG, workers=2)
        kitchen.apply(1, number=2)
        await kitchen.until(lambda: len(kitchen.served.pool.leaving) == 1, "one worker leaves")
        kitchen.kill(kitchen.served.pool.workers)
        async with asyncio.timeout(4):
            check(5, await kitchen.ask(5))


async def test_a_forked_child_of_a_model_hides_no_dead_worker_and_ends_with_it(tmp_path: Path) -> None:
    def predict(rows: Any) -> Any:
        import os
        import time

        if rows[0, 1] == 99 and os.fork() == 0:
            time.sleep(60)
        return rows[:, :1] * 0 + os.getpid()

    folder = tmp_path / "forks"
    servery.save_model(predict, folder, input_example=np.array([[1, 0]]), requirements=["numpy"])
    (folder / "example_output.json").unlink()
    async with Kitchen(folder, tmp_path / "logs") as kitchen:
        kitchen.apply(1)
        pid = json.loads((await kitchen.ask(1, 99)).body)["predictions"][0][0]
        (child,) = psutil.Process(pid).children()
        kitchen.kill(kitchen.served.pool.workers)
        async with asyncio.timeout(10):
            other = json.loads((await kitchen.ask(2, 0)).body)["predictions"][0][0]
        assert other != pid
        await kitchen.until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child ends")


async def test_a_model_that_dies_as_soon_as_it_has_loaded_does_not_keep_the_machine_busy(tmp_path: Path) -> None:
    def predict(rows: Any) -> Any:
        import os
        import sys
        import threading

        if "servery_worker" in sys.argv[0]:  # Not where the package is saved.
            threading.Timer(0.05, os._exit, [3]).start()
        return rows[:, :1]

    folder = tmp_path / "dies"
    servery.save_model(predict, folder, input_example=np.array([[1, 0]]), requirements=["numpy"])
    async with Kitchen(folder, tmp_path / "logs") as kitchen:
        kitchen.apply(1)
        await kitchen.until(lambda: kitchen.served.pool.statistics().workers_lost >= 3, "three workers are lost")
        started = kitchen.served.pool.statistics().workers_started
        await asyncio.sleep(1.5)
        assert kitchen.served.pool.statistics().workers_started <= started + 1


async def test_workers_killed_again_and_again_leave_no_open_file(echo_folder: Path, tmp_path: Path) -> None:
    async with Kitchen(echo_folder, tmp_path / "logs") as kitchen:
        kitchen.apply(1)
        check(1, await kitchen.ask(1))
        files = len(os.listdir("/proc/self/fd"))
        for nonce in range(6):
            kitchen.served.pool._failures = 0
            kitchen.kill(kitchen.served.pool.workers)
            check(nonce, await kitchen.ask(nonce))
        await kitchen.until(lambda: len(os.listdir("/proc/self/fd")) <= files, "no more files are open than before")


class NoRoom(FolderPackage):
    async def fetch(self, spec: PoolSpec) -> tuple[Path, Manifest]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/place")


async def test_a_package_that_cannot_be_kept_fails_its_pool(echo_folder: Path, tmp_path: Path) -> None:
    async with Kitchen(echo_folder, tmp_path / "logs", packages=NoRoom) as kitchen:
        kitchen.apply(1)
        await kitchen.until(lambda: kitchen.served.pool.state is PoolState.FAILED, "the pool has failed")
        assert (
            kitchen.served.pool.cause == "Its files cannot be kept on the gateway's machine: No space left on device."
        )


async def test_what_a_model_prints_without_end_is_kept_within_bounds(tmp_path: Path) -> None:
    def predict(rows: Any) -> Any:
        import sys

        if "servery_worker" in sys.argv[0]:
            sys.stdout.write("x" * (1 << 20))
        return rows[:, :1]

    folder = tmp_path / "prints"
    servery.save_model(predict, folder, input_example=np.array([[1, 0]]), requirements=["numpy"])
    async with Kitchen(folder, tmp_path / "logs") as kitchen:
        kitchen.apply(1)
        for nonce in range(18):
            assert (await kitchen.ask(nonce)).outcome is Outcome.OK
        assert kitchen.served.pool.log.stat().st_size > LOG_BYTES_MAX
        kitchen.gateway.cap_logs()
        assert (await kitchen.ask(19)).outcome is Outcome.OK
        assert kitchen.served.pool.log.stat().st_size < LOG_BYTES_MAX


async def test_a_model_that_dies_on_a_request_like_its_example_is_served_one_request_at_a_time(tmp_path: Path) -> None:
    def predict(rows: Any) -> Any:
        import os

        if (rows[:, 0] < 0).any():
            os._exit(3)
        return [[7, row[0], row[0] * 7] for row in rows.tolist()]

    servery.save_model(predict, tmp_path / "brittle", input_example=np.array([[0, 0]]), requirements=["numpy"])
    async with Kitchen(tmp_path / "brittle", tmp_path / "logs") as kitchen:
        kitchen.apply(2)
        await kitchen.until(kitchen.ready(2), "two workers are ready")
        assert not kitchen.served.pool.batchable
        check(5, await kitchen.ask(5))


async def test_a_model_too_slow_to_be_asked_of_its_neighbours_within_a_load_is_served_all_the_same(
    tmp_path: Path,
) -> None:
    def predict(rows: Any) -> Any:
        import time

        time.sleep(2)
        return [[7, row[0], row[0] * 7] for row in rows.tolist()]

    servery.save_model(predict, tmp_path / "slow", input_example=np.array([[0, 0]]), requirements=["numpy"])
    async with Kitchen(tmp_path / "slow", tmp_path / "logs", load_timeout_seconds=18) as kitchen:
        kitchen.apply(1)
        await kitchen.until(kitchen.ready(1), "a worker is ready")
        assert not kitchen.served.pool.batchable
        check(5, await kitchen.ask(5))
