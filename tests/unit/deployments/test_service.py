"""Endpoints with the reconciler at work, in real time, and gateways that follow at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from servery.clock import SystemClock
from servery.db.engine import migrate, open_database
from servery.deployments.service import Deployments
from servery.deployments.status import ConfigUpdate
from servery.errors import AlreadyExists, Incompatible, NotFound, Unavailable
from servery.names import EndpointName, ModelName, Version
from servery.routing import PoolKey
from servery.testing.fake_gateway import FakeGateway
from tests.unit.deployments.examples import CHAMPION, NAME, SPAM, FakeVersions, key, request

BAD = 5


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_database(tmp_path)
    migrate(engine)
    return engine


@pytest.fixture
def versions() -> FakeVersions:
    return FakeVersions()


async def follow(deployments: Deployments, gateway: FakeGateway) -> None:
    """What a gateway does all the time, its pools loading at once."""
    while True:
        for pool in gateway.loading():
            gateway.load(pool, failing="it is bad." if pool == key(BAD) else None)
        deployments.report(gateway.report())
        table = await deployments.next_table(gateway.table.number, timeout_seconds=1)
        if table is not None:
            gateway.apply(table)


@contextlib.asynccontextmanager
async def running(
    engine: Engine, versions: FakeVersions, *gateways: FakeGateway, reconcile: bool = True
) -> AsyncIterator[Deployments]:
    deployments = Deployments(engine, versions, SystemClock())
    tasks = [asyncio.create_task(follow(deployments, gateway)) for gateway in gateways]
    if reconcile:
        tasks.append(asyncio.create_task(deployments.run()))
    try:
        yield deployments
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settled(deployments: Deployments, name: EndpointName = NAME) -> ConfigUpdate:
    async with asyncio.timeout(10):
        while (await deployments.get(name)).update is ConfigUpdate.IN_PROGRESS:
            await asyncio.sleep(0.001)
    return (await deployments.get(name)).update


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def is_healthy(deployments: Deployments) -> bool:
    return deployments.healthy


def pool_of(gateway: FakeGateway) -> PoolKey:
    return gateway.routes[NAME].shares[0].pool


def test_the_move_of_an_alias_is_over_when_no_gateway_answers_from_the_old_version(
    engine: Engine, versions: FakeVersions
) -> None:
    async def test() -> None:
        gateways = (FakeGateway("g1"), FakeGateway("g2"))
        async with running(engine, versions, *gateways) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await settled(deployments)
            for version in (2, 3, 2, 3):
                versions.aliases[CHAMPION] = version
                await deployments.model_changed(SPAM)
                assert [pool_of(gateway) for gateway in gateways] == [key(version)] * 2
                assert (await deployments.get(NAME)).update is ConfigUpdate.NOT_UPDATING

    run(test)


def test_a_move_to_a_version_that_is_loaded_takes_no_longer_than_its_round_trips(
    engine: Engine, versions: FakeVersions
) -> None:
    async def test() -> None:
        async with running(engine, versions, FakeGateway("g1")) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await deployments.create(EndpointName("both"), [request(1), request(2)], {"spam-1": 50, "spam-2": 50})
            await settled(deployments)
            await settled(deployments, EndpointName("both"))
            seconds = []
            for swap in range(10):
                versions.aliases[CHAMPION] = 2 - swap % 2
                started = time.perf_counter()
                await deployments.model_changed(SPAM)
                seconds.append(time.perf_counter() - started)
            # Nothing in it waits for a timer, of which the shortest is a second long.
            assert sorted(seconds)[5] < 0.5

    run(test)


def test_the_move_of_an_alias_to_a_bad_version_is_over_when_it_has_failed(
    engine: Engine, versions: FakeVersions
) -> None:
    async def test() -> None:
        gateway = FakeGateway("g1")
        async with running(engine, versions, gateway) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await settled(deployments)
            versions.aliases[CHAMPION] = BAD
            await deployments.model_changed(SPAM)

            assert (await deployments.get(NAME)).update is ConfigUpdate.UPDATE_FAILED
            assert pool_of(gateway) == key(1)
            versions.aliases[CHAMPION] = 1
            await deployments.model_changed(SPAM)
            assert (await deployments.get(NAME)).update is ConfigUpdate.NOT_UPDATING

    run(test)


def test_a_lost_alias_is_told_and_what_serves_goes_on(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        gateway = FakeGateway("g1")
        async with running(engine, versions, gateway) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await settled(deployments)
            del versions.aliases[CHAMPION]
            await deployments.model_changed(SPAM)
            status = await deployments.get(NAME)

            assert status.update is ConfigUpdate.UPDATE_FAILED
            assert status.failure is not None
            assert status.failure.cause == "Alias 'spam@champion' not found."
            assert pool_of(gateway) == key(1)

    run(test)


def test_the_move_of_an_alias_waits_for_nobody_when_nobody_follows(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        async with running(engine, versions, reconcile=False) as deployments:
            await deployments.create(NAME, [request(1)])
            await deployments.model_changed(SPAM)
            await deployments.create(EndpointName("follows"), [request("@champion")])
            await deployments.model_changed(ModelName("ham"))
            await deployments.model_changed(SPAM)  # No gateway is live.

    run(test)


def test_the_newest_of_several_updates_wins(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        gateway = FakeGateway("g1")
        async with running(engine, versions, gateway) as deployments:
            await deployments.create(NAME, [request(1)])
            for version in (2, BAD, 3, 4):
                await deployments.update_config(NAME, [request(version)])
            assert await settled(deployments) is ConfigUpdate.NOT_UPDATING
            assert pool_of(gateway) == key(4)

    run(test)


def test_updates_at_the_same_time_lose_none(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        async with running(engine, versions, FakeGateway("g1")) as deployments:
            await deployments.create(NAME, [request(1)])
            calls = [deployments.patch_tags(NAME, add={f"t{index}": ""}, remove=()) for index in range(20)]
            await asyncio.gather(*calls, deployments.update_config(NAME, [request(2)]))

            assert len(deployments.endpoint(NAME).tags) == 20
            assert await settled(deployments) is ConfigUpdate.NOT_UPDATING
        again = Deployments(engine, versions, SystemClock())
        assert len(again.endpoint(NAME).tags) == 20
        assert again.endpoint(NAME).active == deployments.endpoint(NAME).active

    run(test)


def test_a_name_created_twice_at_the_same_time_is_given_once(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        async with running(engine, versions) as deployments:
            calls = [deployments.create(NAME, [request(1)]) for _ in range(5)]
            results = await asyncio.gather(*calls, return_exceptions=True)

            assert sorted(type(result).__name__ for result in results) == ["AlreadyExists"] * 4 + ["EndpointStatus"]
            with pytest.raises(AlreadyExists):
                await deployments.create(NAME, [request(1)])

    run(test)


def test_rollback_goes_back_and_forth_between_two_configs(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        gateway = FakeGateway("g1")
        async with running(engine, versions, gateway) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await settled(deployments)
            versions.aliases[CHAMPION] = 2
            await deployments.model_changed(SPAM)
            for version in (1, 2, 1):
                await deployments.rollback(NAME)
                await settled(deployments)
                assert pool_of(gateway) == key(version)

    run(test)


def test_strict_takes_effect_with_its_config_and_survives_a_restart(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        gateway = FakeGateway("g1")

        def is_strict() -> bool:
            return gateway.routes[NAME].strict

        async with running(engine, versions, gateway) as deployments:
            await deployments.create(NAME, [request(1)], strict=True)
            await settled(deployments)
            assert is_strict()
            await deployments.update_config(NAME, [request(2)])
            await settled(deployments)
            assert is_strict()
            await deployments.update_config(NAME, [request(BAD)], strict=False)
            assert await settled(deployments) is ConfigUpdate.UPDATE_FAILED
            assert is_strict()
            await deployments.update_config(NAME, None, strict=False)
        async with running(engine, versions, gateway) as deployments:
            await deployments.update_config(NAME, [request(2)])
            assert await settled(deployments) is ConfigUpdate.NOT_UPDATING
            assert not is_strict()
            await deployments.rollback(NAME)
            await settled(deployments)
            assert is_strict()

    run(test)


def test_an_update_that_callers_cannot_follow_changes_nothing_without_the_word(
    engine: Engine, versions: FakeVersions
) -> None:
    versions.incompatible |= {(1, 2), (2, 1)}

    async def test() -> None:
        gateway = FakeGateway("g1")
        async with running(engine, versions, gateway) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await settled(deployments)
            before = deployments.endpoint(NAME)

            with pytest.raises(Incompatible):
                await deployments.update_config(NAME, [request(2)])
            with pytest.raises(Incompatible):
                await deployments.refuse_incompatible_alias(SPAM, CHAMPION, Version(2))
            assert deployments.endpoint(NAME) == before

            await deployments.update_config(NAME, [request(2)], allow_incompatible=True)
            await settled(deployments)
            assert pool_of(gateway) == key(2)
            await deployments.rollback(NAME)
            await settled(deployments)
            assert pool_of(gateway) == key(1)

    run(test)


def test_rollback_after_a_failed_update_stays_with_what_serves(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        gateway = FakeGateway("g1")
        async with running(engine, versions, gateway) as deployments:
            for version in (1, 2, BAD):
                change = deployments.create if version == 1 else deployments.update_config
                await change(NAME, [request(version)])
                await settled(deployments)
            await deployments.rollback(NAME)

            assert await settled(deployments) is ConfigUpdate.NOT_UPDATING
            assert pool_of(gateway) == key(2)

    run(test)


def test_only_twenty_configs_are_kept(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        async with running(engine, versions, FakeGateway("g1")) as deployments:
            await deployments.create(NAME, [request(1)])
            for index in range(25):
                await settled(deployments)
                await deployments.update_config(NAME, [request(index % 2 + 1, name=f"e{index}")])
            await settled(deployments)

            assert len(deployments._store.configs(NAME)) == 20

    run(test)


def test_the_endpoints_that_use_a_version_are_known(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        async with running(engine, versions, FakeGateway("g1")) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await settled(deployments)

            assert deployments.endpoints_using(SPAM) == [NAME]
            assert deployments.endpoints_using(SPAM, Version(1)) == [NAME]
            assert deployments.endpoints_using(SPAM, Version(2)) == []
            assert deployments.endpoints_using(ModelName("ham")) == []

    run(test)


def test_a_change_that_is_called_off_in_the_middle_is_done_whole_or_not_at_all(
    engine: Engine, versions: FakeVersions
) -> None:
    async def test() -> None:
        async with running(engine, versions, reconcile=False) as deployments:
            await deployments.create(NAME, [request(1)])
            for index in range(20):
                task = asyncio.create_task(deployments.patch_tags(NAME, add={"t": str(index)}, remove=()))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                task.cancel()
            await deployments.patch_tags(NAME, add={"last": ""}, remove=())

            stored = Deployments(engine, versions, SystemClock()).endpoint(NAME)
            assert stored == deployments.endpoint(NAME)

    run(test)


def test_a_database_that_cannot_be_used_makes_it_unhealthy_until_it_can(
    engine: Engine, versions: FakeVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("The database is busy; try again.", retry_after_seconds=1)

    async def test() -> None:
        gateway = FakeGateway("g1")
        async with running(engine, versions, gateway) as deployments:
            await deployments.create(NAME, [request("@champion")])
            await settled(deployments)
            assert is_healthy(deployments)
            with monkeypatch.context() as broken:
                broken.setattr(versions, "resolve", fail)
                deployments._reconciler.resolve_again()
                async with asyncio.timeout(5):
                    while is_healthy(deployments):
                        await asyncio.sleep(0.001)
            assert pool_of(gateway) == key(1)
            async with asyncio.timeout(5):
                while not is_healthy(deployments):
                    await asyncio.sleep(0.01)

    run(test)


def test_a_bug_ends_the_loop_and_is_seen(
    engine: Engine, versions: FakeVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async def test() -> None:
        deployments = Deployments(engine, versions, SystemClock())
        await deployments.create(NAME, [request("@champion")])
        deployments.report(FakeGateway("g1").report())
        monkeypatch.setattr(versions, "resolve", fail)
        with pytest.raises(ZeroDivisionError):
            await deployments.run()

        assert not deployments.healthy
        await deployments.model_changed(SPAM)  # Waits for nobody: nobody would come.

    run(test)


def test_two_control_planes_on_one_database_do_not_both_publish(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        one = Deployments(engine, versions, SystemClock())
        other = Deployments(engine, versions, SystemClock())
        await one.create(NAME, [request(1)])
        await one.reconcile()
        with pytest.raises(Exception, match="Another process has published a routing table"):
            await other.create(EndpointName("second"), [request(2)])

    run(test)


def test_what_does_not_exist_is_named(engine: Engine, versions: FakeVersions) -> None:
    async def test() -> None:
        deployments = Deployments(engine, versions, SystemClock())
        for call in (
            deployments.get(NAME),
            deployments.delete(NAME),
            deployments.rollback(NAME),
            deployments.update_config(NAME, [request(1)]),
            deployments.patch_tags(NAME, add={}, remove=()),
        ):
            with pytest.raises(NotFound, match="Endpoint 'mail' not found"):
                await call

    run(test)
