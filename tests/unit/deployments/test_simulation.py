"""A control plane and its gateways through everything that may happen, in any order, from a seed.

After every step it is asserted that table numbers grow, that a route is only published to what is ready on every
live gateway, that what works is never unrouted, and that what the status calls done is done on every gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine

from servery.db.engine import migrate, open_database
from servery.deployments.service import Deployments
from servery.deployments.state import Phase
from servery.deployments.status import ConfigUpdate
from servery.errors import CallerError
from servery.names import EndpointName
from servery.routing import RoutingTable, live_pools, specs_by_key
from servery.testing.fake_gateway import FakeGateway
from servery.testing.manual_clock import ManualClock
from tests.unit.deployments.examples import CHAMPION, NAME, FakeVersions, key, request

BAD = 5
"""The version that loads nowhere."""
OTHER = EndpointName("other")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_database(tmp_path)
    migrate(engine)
    return engine


class World:
    """One control plane, which may be restarted, and its gateways, which come and go."""

    def __init__(self, engine: Engine, random: Random) -> None:
        self.random = random
        self.engine = engine
        self.clock = ManualClock()
        self.versions = FakeVersions()
        self.gateways: dict[str, FakeGateway] = {}
        self.disks: dict[str, RoutingTable] = {}
        """What a gateway that ended has left on its disk."""
        self.caught_up: set[str] = set()
        """The gateways that the control plane counts on: they have reported, and had the newest table once."""
        self.heard: set[str] = set()
        """The gateways whose present process has reported."""
        self.served: set[tuple[FakeGateway, EndpointName]] = set()
        self.tables: dict[int, RoutingTable] = {}
        self.deployments = self.new_control_plane()

    def new_control_plane(self) -> Deployments:
        return Deployments(self.engine, self.versions, self.clock, rollout_timeout_seconds=60)

    # What happens.

    async def start(self) -> None:
        await self.deployments.create(NAME, [request("@champion")])
        await self.deployments.create(OTHER, [request(1), request(2)], {"spam-1": 50, "spam-2": 50})

    async def move_alias(self) -> None:
        self.versions.aliases[CHAMPION] = self.random.randint(1, BAD)

    async def lose_alias(self) -> None:
        self.versions.aliases.pop(CHAMPION, None)

    async def update(self) -> None:
        one, two = self.random.sample(range(1, BAD + 1), 2)
        percent = self.random.choice([0, 10, 50, 100])
        replicas = self.random.randint(1, 3)
        requests = [request(one, replicas=replicas), request(two)]
        await self.deployments.update_config(OTHER, requests, {f"spam-{one}": percent, f"spam-{two}": 100 - percent})

    async def roll_back(self) -> None:
        with contextlib.suppress(CallerError):
            await self.deployments.rollback(OTHER)

    async def restart_control_plane(self) -> None:
        self.deployments = self.new_control_plane()

    async def start_gateway(self) -> None:
        name = f"g{self.random.randint(1, 3)}"
        if name not in self.gateways:
            self.gateways[name] = FakeGateway(name, copy=self.disks.get(name))

    async def kill_gateway(self) -> None:
        if self.gateways:
            name = self.random.choice(sorted(self.gateways))
            self.disks[name] = self.gateways.pop(name).settled
            self.caught_up.discard(name)
            self.heard.discard(name)

    async def follow(self) -> None:
        for gateway in self.some_gateways():
            table = await self.deployments.next_table(gateway.table.number, timeout_seconds=0)
            if table is not None:
                gateway.apply(table)

    async def load(self) -> None:
        for gateway in self.some_gateways():
            for pool in gateway.loading():
                if self.random.random() < 0.7:
                    gateway.load(pool, failing="it is bad." if pool == key(BAD) else None)

    async def report(self) -> None:
        for gateway in self.some_gateways():
            self.tell(gateway)

    async def let_time_pass(self) -> None:
        self.clock.advance(self.random.choice([0.5, 1.0, 2.0, 7.0]))

    def some_gateways(self) -> list[FakeGateway]:
        return [one for one in self.gateways.values() if self.random.random() < 0.8]

    def tell(self, gateway: FakeGateway) -> None:
        self.deployments.report(gateway.report())
        self.heard.add(gateway.name)

    async def step(self) -> None:
        common = [self.follow, self.load, self.report, self.report]
        rare = [self.move_alias, self.update, self.roll_back, self.start_gateway, self.let_time_pass]
        rarest = [self.lose_alias, self.restart_control_plane, self.kill_gateway]
        await self.random.choice(common * 6 + rare * 2 + rarest)()
        before = self.deployments.table()
        await self.deployments.reconcile()
        self.check_table(before)
        await self.check_what_is_done()

    async def settle(self) -> None:
        """Nothing more happens to it: it has to come to an end by itself."""
        self.versions.aliases[CHAMPION] = 3
        await self.deployments.update_config(OTHER, [request(4)])
        self.clock.advance(7)
        if not self.gateways:
            await self.start_gateway()
        for _ in range(20):
            self.clock.advance(2)
            for gateway in self.gateways.values():
                table = await self.deployments.next_table(gateway.table.number, timeout_seconds=0)
                if table is not None:
                    gateway.apply(table)
                for pool in gateway.loading():
                    gateway.load(pool, failing="it is bad." if pool == key(BAD) else None)
                self.tell(gateway)
            self.deployments._reconciler.resolve_again()
            before = self.deployments.table()
            await self.deployments.reconcile()
            self.check_table(before)
            await self.check_what_is_done()

    # What must hold.

    def check_table(self, before: RoutingTable) -> None:
        table = self.deployments.table()
        assert table.number >= max(self.tables, default=0)
        assert self.tables.setdefault(table.number, table) == table, "a number stands for one table"
        assert live_pools(table) <= specs_by_key(table.pools).keys()
        live = {gateway.name for gateway in self.deployments.gateways()} & self.gateways.keys()
        for route in table.routes:
            new = {share.pool for share in route.shares} - live_pools(before)
            for pool in new:
                assert all(self.gateways[name].is_ready(pool) for name in live & self.caught_up)

    async def check_what_is_done(self) -> None:
        live = {gateway.name: gateway for gateway in self.deployments.gateways()}
        table = self.deployments.table()
        self.caught_up &= live.keys()
        self.caught_up |= {
            name for name, one in live.items() if one.pools is not None and one.table_number == table.number
        }
        self.caught_up &= self.heard
        routes = {route.endpoint: route for route in table.routes}
        for status in await self.deployments.list_all():
            name = status.endpoint.name
            if status.endpoint.active is None:
                continue
            assert name in routes, "what has served is never off the table"
            for gateway in (self.gateways[one] for one in self.caught_up):
                taken = gateway.routes.get(name)
                assert taken is not None or (gateway, name) not in self.served, "what works is never unrouted"
                if taken is not None:
                    self.served.add((gateway, name))
                    assert all(gateway.is_ready(share.pool) for share in taken.shares)
                if status.update is ConfigUpdate.NOT_UPDATING:
                    assert taken == routes[name], "done is done on every gateway"


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens(engine: Engine, seed: int) -> None:
    async def run() -> None:
        world = World(engine, Random(seed))
        await world.start()
        for _ in range(150):
            await world.step()
        await world.settle()
        for status in await world.deployments.list_all():
            assert (status.update, status.is_ready) == (ConfigUpdate.NOT_UPDATING, True)

    asyncio.run(run())


async def tick(world: World, *, failing: bool = True) -> None:
    """Every gateway does all that it can, and the control plane after it."""
    for gateway in world.gateways.values():
        table = world.deployments.table()
        if table.number > gateway.table.number:
            gateway.apply(table)
        for pool in gateway.loading():
            gateway.load(pool, failing="it is bad." if pool == key(BAD) and failing else None)
        world.tell(gateway)
    world.deployments._reconciler.resolve_again()
    before = world.deployments.table()
    await world.deployments.reconcile()
    world.check_table(before)
    await world.check_what_is_done()


def test_a_hundred_swaps(engine: Engine) -> None:
    """Each takes three tables: loading, routed, and without the version of before."""

    async def run() -> None:
        world = World(engine, Random(0))
        world.gateways = {name: FakeGateway(name) for name in ("g1", "g2")}
        await world.deployments.create(NAME, [request("@champion")])
        for _ in range(4):
            await tick(world)
        for swap in range(100):
            number = world.deployments.table().number
            version = swap % 2 + 2
            world.versions.aliases[CHAMPION] = version
            status = await world.deployments.get(NAME)
            assert status.update is ConfigUpdate.IN_PROGRESS, "the answer knows of the move before the reconciler does"
            while (await world.deployments.get(NAME)).update is not ConfigUpdate.NOT_UPDATING:
                await tick(world)
            assert world.deployments.table().number == number + 3
            active = world.deployments.endpoint(NAME).active
            assert active is not None
            assert [entity.version for entity in active.entities] == [version]

    asyncio.run(run())


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.SWITCHING, Phase.FAILED])
def test_a_control_plane_that_restarts_goes_on_from_the_phase_it_was_in(engine: Engine, phase: Phase) -> None:
    async def run() -> None:
        world = World(engine, Random(0))
        world.gateways = {name: FakeGateway(name) for name in ("g1", "g2")}
        await world.deployments.create(NAME, [request("@champion")])
        for _ in range(4):
            await tick(world)
        world.versions.aliases[CHAMPION] = BAD if phase is Phase.FAILED else 2
        while world.deployments.endpoint(NAME).phase is not phase:
            await tick(world)
        before = world.deployments.endpoint(NAME)

        world.deployments = world.new_control_plane()
        table = world.deployments.table()
        world.tell(world.gateways["g1"])
        await world.deployments.reconcile()
        assert world.deployments.endpoint(NAME) == before, "g2 has not been heard of yet"
        assert world.deployments.table() == table
        for _ in range(4):
            await tick(world)

        status = await world.deployments.get(NAME)
        if phase is Phase.FAILED:
            assert status.update is ConfigUpdate.UPDATE_FAILED
            assert world.deployments.table().routes == table.routes
        else:
            assert (status.update, status.endpoint.config_version) == (ConfigUpdate.NOT_UPDATING, 2)

    asyncio.run(run())


def test_a_gateway_that_dies_in_the_middle_of_a_switch_is_waited_for_until_its_report_is_too_old(
    engine: Engine,
) -> None:
    async def run() -> None:
        world = World(engine, Random(0))
        world.gateways = {name: FakeGateway(name) for name in ("g1", "g2")}
        await world.deployments.create(NAME, [request("@champion")])
        while world.deployments.endpoint(NAME).phase is not Phase.SWITCHING:
            await tick(world)
        await world.kill_gateway()
        await tick(world)
        await tick(world)
        assert world.deployments.endpoint(NAME).phase is Phase.SWITCHING

        world.clock.advance(5)
        await tick(world)
        assert world.deployments.endpoint(NAME).phase is Phase.SWITCHING
        world.clock.advance(2)
        await tick(world)
        assert world.deployments.endpoint(NAME).phase is Phase.IDLE

    asyncio.run(run())


def test_a_bad_version_is_dropped_and_loads_once_it_is_good_and_asked_for_again(engine: Engine) -> None:
    async def run() -> None:
        world = World(engine, Random(0))
        world.gateways = {"g1": FakeGateway("g1")}
        await world.deployments.create(NAME, [request(1)])
        for _ in range(4):
            await tick(world)
        for failing, expected in ((True, ConfigUpdate.UPDATE_FAILED), (False, ConfigUpdate.NOT_UPDATING)):
            await world.deployments.update_config(NAME, [request(BAD)])
            for _ in range(5):
                await tick(world, failing=failing)
            assert (await world.deployments.get(NAME)).update is expected
            assert (key(BAD) in specs_by_key(world.deployments.table().pools)) is not failing

    asyncio.run(run())


def test_a_failed_version_that_is_asked_for_again_at_once_is_dropped_first(engine: Engine) -> None:
    """Or the gateway would never see the table without it, and would keep the pool that failed."""

    async def run() -> None:
        world = World(engine, Random(0))
        world.gateways = {"g1": FakeGateway("g1")}
        await world.deployments.create(NAME, [request(BAD)])
        while world.deployments.endpoint(NAME).phase is not Phase.FAILED:
            await tick(world)
        await world.deployments.update_config(NAME, [request(BAD)])
        await world.deployments.reconcile()
        assert world.deployments.table().pools == ()
        for _ in range(5):
            await tick(world, failing=False)

        assert (await world.deployments.get(NAME)).update is ConfigUpdate.NOT_UPDATING

    asyncio.run(run())


def test_a_version_that_was_dropped_and_is_wanted_again_is_not_routed_to_by_an_old_report(engine: Engine) -> None:
    async def run() -> None:
        world = World(engine, Random(0))
        gateway = FakeGateway("g1")
        world.gateways = {"g1": gateway}
        await world.deployments.create(NAME, [request("@champion")])
        for version in (1, 2):
            world.versions.aliases[CHAMPION] = version
            while (await world.deployments.get(NAME)).update is not ConfigUpdate.NOT_UPDATING:
                await tick(world)
        assert gateway.is_ready(key(1)), "the gateway has not seen the table without it yet"
        gateway.apply(world.deployments.table())
        assert not gateway.is_ready(key(1))

        world.versions.aliases[CHAMPION] = 1
        world.deployments._reconciler.resolve_again()
        await world.deployments.reconcile()
        assert world.deployments.endpoint(NAME).phase is Phase.LOADING

    asyncio.run(run())


def test_a_database_of_yesterday_goes_on_above_the_numbers_that_gateways_know(engine: Engine, tmp_path: Path) -> None:
    async def run() -> None:
        world = World(engine, Random(0))
        world.gateways = {"g1": FakeGateway("g1")}
        await world.deployments.create(NAME, [request("@champion")])
        for version in (1, 2, 3):
            world.versions.aliases[CHAMPION] = version
            for _ in range(4):
                await tick(world)
        (tmp_path / "other").mkdir()
        world.engine = open_database(tmp_path / "other")
        migrate(world.engine)
        world.deployments, known = world.new_control_plane(), world.deployments.table().number
        world.tables.clear()
        world.caught_up.clear()
        world.versions.aliases[CHAMPION] = 2
        await world.deployments.create(NAME, [request("@champion")])
        for _ in range(6):
            await tick(world)

        assert world.deployments.table().number > known
        assert (await world.deployments.get(NAME)).update is ConfigUpdate.NOT_UPDATING
        assert world.gateways["g1"].routes[NAME].shares[0].pool == key(2)

    asyncio.run(run())
