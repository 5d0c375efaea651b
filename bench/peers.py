"""Two peers on the same models, each in its own environment, made once under bench/.peers:
``mlflow models serve``, and Triton with its Python backend, as the wheel of PyTriton carries it.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from bench.models import Workload
from bench.servers import ServerFailed, Service, free_port, running, scored

ROOT = Path(__file__).parents[1]
MLFLOW, TRITON, TRITON_NUMPY = "mlflow==3.17.2", "nvidia-pytriton==0.7.0", "numpy==1.26.4"
VERSIONS = dict(requirement.split("==") for requirement in (MLFLOW, TRITON))
_HOME = Path(__file__).with_name(".peers")
_INSTALL_SECONDS = 900

_TRITON_MODEL = '''"""One execute for all requests that Triton's dynamic batcher has gathered."""

import pickle
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        package = Path(args["model_repository"]) / args["model_version"] / "model.pkl"
        self.model = pickle.loads(package.read_bytes())

    def execute(self, requests):
        arrays = [triton.get_input_tensor_by_name(request, "rows").as_numpy() for request in requests]
        predictions = self.model.predict(np.concatenate(arrays)).astype(np.int64).reshape(-1, 1)
        parts = np.split(predictions, np.cumsum([len(array) for array in arrays])[:-1])
        return [triton.InferenceResponse([triton.Tensor("predictions", part)]) for part in parts]
'''

_TRITON_CONFIG = """backend: "python"
max_batch_size: 256
input [{{ name: "rows", data_type: TYPE_FP64, dims: [{columns}] }}]
output [{{ name: "predictions", data_type: TYPE_INT64, dims: [1] }}]
instance_group [{{ kind: KIND_CPU, count: 1 }}]
dynamic_batching {{ }}
"""


@contextmanager
def mlflow(workload: Workload) -> Iterator[Service]:
    """``mlflow models serve`` on the very package that Servery serves."""
    same = [f"{name}=={version(name)}" for name in ("scikit-learn", "pandas", "numpy", "cloudpickle")]
    binaries = _environment("mlflow", sys.executable, [MLFLOW, *same])
    port = free_port()
    command = [str(binaries / "mlflow"), "models", "serve", "-m", str(workload.package), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    address, right = f"http://127.0.0.1:{port}", scored(workload)
    # mlflow looks its server program, uvicorn, up on PATH.
    environ = _own_path(binaries)
    with running("mlflow", command, address, "/ping", "/invocations", workload.body, right, environ) as service:
        yield service


@contextmanager
def triton(workload: Workload) -> Iterator[Service]:
    """``tritonserver`` on a repository with one Python model that holds the workload's scikit-learn model.

    The backend's stub embeds the interpreter that it finds first on PATH. It was built for NumPy 1, under NumPy 2
    it hands wrong values over without an error; NumPy 1 has no wheel after Python 3.12.
    """
    python = sys.executable if sys.version_info < (3, 13) else "3.12"
    binaries = _environment("triton", python, [f"scikit-learn=={version('scikit-learn')}", TRITON_NUMPY], [TRITON])
    home = _triton_home(binaries)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="servery-bench-") as folder:
        _write_repository(Path(folder), workload)
        body = Path(folder) / "body.json"
        body.write_bytes(_infer_request(workload.row))
        command = [str(home / "bin" / "tritonserver"), f"--model-repository={folder}/models"]
        command += [f"--backend-directory={home}/backends", "--http-address=127.0.0.1", f"--http-port={port}"]
        command += ["--allow-grpc=false", "--allow-metrics=false"]
        environ = {**_own_path(binaries), "LD_LIBRARY_PATH": _library_folder(binaries)}
        health, path = "/v2/health/ready", "/v2/models/rows/infer"
        with running(
            "triton", command, address, health, path, body,
            lambda answer: bool(answer["outputs"][0]["data"] == workload.predictions), environ,
        ) as service:  # fmt: skip
            yield service


def _write_repository(folder: Path, workload: Workload) -> None:
    model = folder / "models" / "rows"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(_TRITON_CONFIG.format(columns=workload.row.shape[1]))
    (model / "1" / "model.py").write_text(_TRITON_MODEL)
    (model / "1" / "model.pkl").write_bytes(pickle.dumps(workload.model))


def _infer_request(row: Any) -> bytes:
    """The row as the Open Inference Protocol writes it."""
    tensor = {"name": "rows", "shape": list(row.shape), "datatype": "FP64", "data": row.ravel().tolist()}
    return orjson.dumps({"inputs": [tensor]})


def _triton_home(binaries: Path) -> Path:
    """Where the wheel keeps Triton, with the stub for the environment's Python laid beside the backend."""
    number = _ask(binaries, "'%d.%d' % sys.version_info[:2]")
    home = binaries.parent / "lib" / f"python{number}" / "site-packages" / "pytriton" / "tritonserver"
    stub = home / "python_backend_stubs" / number / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServerFailed(f"{TRITON} carries no Python backend for Python {number}.")
    shutil.copy(stub, home / "backends" / "python")
    return home


def _library_folder(binaries: Path) -> str:
    """Where the stub finds libpython."""
    return _ask(binaries, "sys.base_prefix + '/lib'")


def _ask(binaries: Path, expression: str) -> str:
    code = f"import sys; print({expression})"
    ended = subprocess.run([binaries / "python", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return ended.stdout.strip()


def _own_path(binaries: Path) -> dict[str, str]:
    return {**os.environ, "VIRTUAL_ENV": str(binaries.parent), "PATH": f"{binaries}:{os.environ['PATH']}"}


def _environment(name: str, python: str, requirements: list[str], bare: list[str] | None = None) -> Path:
    """The ``bin`` folder of an environment with these requirements, and ``bare`` without what those ask for.

    Raises:
        ServerFailed: it cannot be made.
    """
    folder, wanted = _HOME / name, "\n".join([*requirements, *(bare or [])])
    made = folder / "servery-bench.txt"
    if made.is_file() and made.read_text() == wanted:
        return folder / "bin"
    _HOME.mkdir(exist_ok=True)
    (_HOME / ".gitignore").write_text("*\n")
    _uv(["venv", "--clear", "--python", python, str(folder)])
    install = ["pip", "install", "--python", str(folder / "bin" / "python")]
    _uv([*install, *requirements])
    if bare:
        _uv([*install, "--no-deps", *bare])
    made.write_text(wanted)
    return folder / "bin"


def _uv(arguments: list[str]) -> None:
    uv = shutil.which("uv") or shutil.which(ROOT / ".tools" / "bin" / "uv")
    if uv is None:
        raise ServerFailed("uv is missing; install it, or let 'make install' do it.")
    try:
        ended = subprocess.run([uv, *arguments], capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ServerFailed(f"uv took longer than {_INSTALL_SECONDS} s: uv {' '.join(arguments)}.") from None
    if ended.returncode:
        raise ServerFailed(f"uv ended with {ended.returncode}: {' '.join(ended.stderr.split())[-300:]}")
