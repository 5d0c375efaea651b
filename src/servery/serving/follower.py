"""How a gateway follows the control plane: it polls for the next routing table, and reports what it has.

Both loops go on for ever. The control plane may be gone for as long as it likes: the gateway serves from the table
that it has, and from the copy on disk after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import httpx
import msgspec

from servery.routing import GatewayReport, RoutingTable, decode_table, encode
from servery.serving.gateway import Gateway

POLL_SECONDS = 25
HEARTBEAT_SECONDS = 2.0
_ANSWER_SECONDS = 10.0
_BACKOFF_SECONDS_MAX = 2.0
_FIRST_SECONDS = 2.0
"""How long a starting gateway asks for the newest table before it goes by its copy."""

log = logging.getLogger(__name__)


class TableFile:
    """The copy on disk of the last table whose routes were all taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.number = 0

    def read(self) -> RoutingTable:
        """The empty table when there is no copy yet, or none that can be read."""
        try:
            table = decode_table(self._path.read_bytes())
        except FileNotFoundError:
            return RoutingTable()
        except (OSError, msgspec.DecodeError) as error:
            log.warning("the routing table's copy on disk cannot be read: %s", error)
            return RoutingTable()
        self.number = table.number
        return table

    def write(self, table: RoutingTable) -> None:
        """Replace the copy in one step; a crash leaves the old one or the new one."""
        staging = self._path.with_suffix(".staging")
        with staging.open("wb") as file:
            file.write(encode(table))
            file.flush()
            os.fsync(file.fileno())
        staging.replace(self._path)
        self.number = table.number


class Follower:
    """Ties one gateway to one control plane. ``follow`` and ``report`` run until cancelled."""

    def __init__(self, gateway: Gateway, copy: TableFile, *, server: str, name: str, address: str) -> None:
        self._gateway = gateway
        self._copy = copy
        self._name = name
        self._address = address
        self._base = f"{server.rstrip('/')}/api/2.0/servery"
        self._changed = asyncio.Event()
        gateway.on_change = self._changed.set

    async def follow(self) -> None:
        failures = 0
        async with _connections(timeout_seconds=POLL_SECONDS + 10) as client:
            while True:
                try:
                    number = self._gateway.table.number
                    table = await self._next_table(client, after=number, timeout_seconds=POLL_SECONDS)
                except (httpx.HTTPError, msgspec.DecodeError) as error:
                    if failures == 0:
                        log.warning("the control plane does not answer, serving goes on: %s", error or type(error))
                    failures += 1
                    await asyncio.sleep(min(_BACKOFF_SECONDS_MAX, 0.1 * 2 ** min(failures, 5)))
                    continue
                failures = 0
                if table is not None:
                    self._gateway.apply(table)

    async def start(self) -> None:
        """Begin with the newest table: a gateway that was away may not answer from versions that were replaced since.

        Without a control plane it begins with its copy on disk.
        """
        table = self._copy.read()
        try:
            async with asyncio.timeout(_FIRST_SECONDS), _connections(timeout_seconds=_FIRST_SECONDS) as client:
                table = await self._next_table(client, after=table.number, timeout_seconds=0) or table
        except (httpx.HTTPError, TimeoutError, msgspec.DecodeError):
            log.warning("the control plane does not answer, serving begins with table %d of the disk", table.number)
        self._gateway.apply(table)

    async def _next_table(
        self, client: httpx.AsyncClient, *, after: int, timeout_seconds: float
    ) -> RoutingTable | None:
        response = await client.get(
            f"{self._base}/routing-table", params={"after": after, "timeout_seconds": timeout_seconds}
        )
        response.raise_for_status()
        return decode_table(response.content) if response.status_code == httpx.codes.OK else None

    async def report(self) -> None:
        async with _connections(timeout_seconds=_ANSWER_SECONDS) as client:
            while True:
                self._changed.clear()
                await self._keep_copy()
                try:
                    response = await client.put(
                        f"{self._base}/gateways/{self._name}",
                        content=encode(self._report()),
                        headers={"Content-Type": "application/json"},
                    )
                    response.raise_for_status()
                    await self._tell_build_logs(client)
                except httpx.HTTPError as error:
                    log.debug("the report was not taken: %s", error)
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    async def _tell_build_logs(self, client: httpx.AsyncClient) -> None:
        """Each until it was taken; one that the control plane refuses is not told again."""
        for digest, text in list(self._gateway.build_logs.items()):
            path = f"{self._base}/packages/{digest}/build-logs/{self._name}"
            response = await client.put(path, content=text.encode(), headers={"Content-Type": "text/plain"})
            if response.is_server_error:
                response.raise_for_status()
            if self._gateway.build_logs.get(digest) == text:
                del self._gateway.build_logs[digest]

    def _report(self) -> GatewayReport:
        return GatewayReport(self._name, self._address, self._gateway.settled_number, self._gateway.reports())

    async def _keep_copy(self) -> None:
        table = self._gateway.table
        if self._gateway.settled_number == table.number != self._copy.number:
            try:
                await asyncio.to_thread(self._copy.write, table)
            except OSError as error:
                log.error("the routing table's copy on disk cannot be written: %s", error)


def _connections(*, timeout_seconds: float) -> httpx.AsyncClient:
    """To the control plane directly: a proxy of the environment is for other addresses."""
    return httpx.AsyncClient(timeout=timeout_seconds, trust_env=False)
