"""KServe's own gRPC client, in an environment of its own: it cannot be installed beside mlflow and Triton's client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import save_echo
from tests.servers import free_port, serving

REQUIREMENTS = ("kserve==0.21.0",)
SCRIPT = """
import asyncio, sys
import numpy
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main():
    client = InferenceGRPCClient(sys.argv[1], retries=0)
    print(await client.is_server_live(), await client.is_server_ready(), await client.is_model_ready("echo"))
    for binary in (False, True):
        tensor = InferInput("x", [1, 2], "INT64")
        tensor.set_data_from_numpy(numpy.array([[5, 0]]), binary_data=binary)
        answer = await client.infer(InferRequest("echo", [tensor], request_id="mine"))
        print(answer.id, answer.model_name, answer.model_version, answer.outputs[0].as_numpy().tolist())
    await client.close()


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of an environment with the client. This one test asks the index for packages."""
    place = tmp_path_factory.mktemp("kserve")
    environment = {name: value for name, value in os.environ.items() if name != "UV_OFFLINE"}
    made = place / "bin" / "python"
    for command in (("venv", "--python", sys.executable, "--clear", str(place)), ("pip", "install", *REQUIREMENTS)):
        target = ("--python", str(made)) if command[0] == "pip" else ()
        subprocess.run([sys.executable, "-m", "uv", *command, *target], env=environment, check=True, timeout=500)
    return made


@pytest.mark.timeout(600)
def test_kserve_s_client_is_answered_in_typed_and_raw_contents(interpreter: Path, tmp_path: Path) -> None:
    port = free_port()
    echo = save_echo(tmp_path / "echo", version=7)
    with serving(echo, tmp_path / "home", settings={"grpc_port": port}):
        command = [str(interpreter), "-c", SCRIPT, f"127.0.0.1:{port}"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    answers = ["mine echo 1 [[7, 5, 35]]", "mine echo 1 [[7, 5, 35]]"]
    assert ran.stdout.splitlines() == ["True True True", *answers], ran.stderr
