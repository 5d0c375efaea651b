"""The gateway serves on its own: the control plane may be gone for as long as it likes."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path

import httpx

import servery
from tests.e2e.faults import make_load
from tests.models import echo_body, is_echo
from tests.servers import Both, Server, answers, free_port, servery_process, wait_until


def test_predictions_go_on_while_the_control_plane_is_killed_and_comes_back(
    both: Both, client: servery.Client, echo_folders: tuple[Path, Path]
) -> None:
    client.register(echo_folders[0], name="alone")
    client.deploy("alone", "models:/alone/1")

    async def run() -> None:
        load = make_load(both, "alone", per_second=200)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(0.5)
        killed = both.child("control")
        assert killed is not None
        killed.send_signal(signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: both.child("control") not in {None, killed}, "another one starts")
        await asyncio.to_thread(wait_until, lambda: answers(f"{both.up.url}/health"), "it answers")
        await asyncio.sleep(0.5)
        load.stop()
        await running
        assert load.failures == []

    asyncio.run(run())
    client.register(echo_folders[1], name="alone")
    client.deploy("alone", "models:/alone/2")
    assert client.predict("alone", [[5, 0]]) == [[2, 5, 10]]


def test_a_gateway_restarts_from_its_copy_on_disk_without_a_control_plane(
    echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    port, gateway_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    gateway_arguments = (
        "gateway",
        "--server",
        url,
        "--gateway-port",
        str(gateway_port),
        "--home",
        str(tmp_path / "gw"),
    )

    def running_gateway(name: str) -> Server:
        gateway = servery_process(*gateway_arguments, port=gateway_port, log=tmp_path / f"{name}.log")
        return stack.enter_context(gateway)

    with ExitStack() as stack:
        control_arguments = ("control", "--port", str(port), "--home", str(tmp_path / "control"))
        control = stack.enter_context(servery_process(*control_arguments, port=port, log=tmp_path / "control.log"))
        wait_until(lambda: answers(f"{url}/health"), "the control plane answers")
        first = running_gateway("first")
        wait_until(first.is_ready, "the gateway is ready")
        client = stack.enter_context(servery.Client(url))
        client.register(echo_folders[0], name="kept")
        client.deploy("kept", "models:/kept/1")
        control.process.kill()
        control.process.wait()
        first.process.kill()
        first.process.wait()

        second = running_gateway("second")
        wait_until(second.is_ready, "the gateway is ready again")
        answer = httpx.post(f"{second.url}/endpoints/kept/invocations", json=echo_body(4), timeout=30)
        assert is_echo(4, answer.json()["predictions"])
        assert answer.headers["x-model-version"] == "kept/1"
