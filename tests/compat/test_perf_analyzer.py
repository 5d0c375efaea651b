"""Triton's perf_analyzer, unmodified: it reads metadata, config and statistics, then asks as fast as it can.

The last release whose program runs on Debian's C library came within ``tritonclient``; the two libraries that it is
linked with are brought beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.models import save_echo
from tests.servers import free_port, serving

PACKAGES = ("tritonclient==2.46.0", "nvidia-cuda-runtime-cu12==12.9.79")
LIBRARY = "libb64-0d"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """perf_analyzer's path, and the variables that it is run with."""
    place = tmp_path_factory.mktemp("perf-analyzer")
    online = {name: value for name, value in os.environ.items() if name != "UV_OFFLINE"}
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(place), *PACKAGES]
    subprocess.run(install, env=online, check=True, timeout=300)
    if subprocess.run(["apt-get", "download", "-q", LIBRARY], cwd=place, timeout=120, check=False).returncode:
        subprocess.run(["apt-get", "update", "-q"], timeout=300, check=True)
        subprocess.run(["apt-get", "download", "-q", LIBRARY], cwd=place, timeout=120, check=True)
    [package] = place.glob(f"{LIBRARY}_*.deb")
    subprocess.run(["dpkg", "-x", str(package), str(place)], check=True, timeout=60)
    folders = {str(path.parent) for name in ("libb64.so.*", "libcudart.so.*") for path in place.rglob(name)}
    [found] = {path for path in place.rglob("perf_analyzer") if path.is_file()}
    found.chmod(0o755)
    return str(found), {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(sorted(folders))}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of an echo model, by protocol."""
    place, grpc_port = tmp_path_factory.mktemp("served"), free_port()
    echo = save_echo(place / "echo", version=7)
    with serving(echo, place / "home", settings={"grpc_port": grpc_port}) as server:
        yield {"http": server.url.removeprefix("http://"), "grpc": f"127.0.0.1:{grpc_port}"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_measures_a_model_without_a_failure(
    protocol: str, program: tuple[str, dict[str, str]], addresses: dict[str, str]
) -> None:
    path, variables = program
    command = [path, "-m", "echo", "-i", protocol, "-u", addresses[protocol], "--concurrency-range", "2"]
    # A fixed number of requests: its time windows would wait for a quiet machine.
    command += ["--measurement-mode", "count_windows", "--measurement-request-count", "50"]
    command += ["--stability-percentage", "999", "--max-trials", "3"]
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    sent, answered = (
        re.search(rf"{name}: (\d+)", ran.stdout) for name in ("Request count", "Successful request count")
    )
    assert sent is not None, ran.stdout
    assert answered is not None, ran.stdout
    assert int(sent[1]) >= 50
    assert int(answered[1]) >= int(sent[1])
