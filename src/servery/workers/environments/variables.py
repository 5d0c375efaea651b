"""The environment variables of a worker. Those of the server's process, its credentials among them, stay with the
server: a worker gets the few named here, and those that its endpoint was given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

_FIXED = {
    "PYTHONUNBUFFERED": "1",
    # For models that bring mlflow: it tells its makers nothing about who serves what, and reads base64 and ISO 8601
    # where a type hint asks for bytes and times, as in its own scoring server.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "_MLFLOW_IS_IN_SERVING_ENVIRONMENT": "true",
}


@dataclass(frozen=True, slots=True)
class Launch:
    """How a worker is started: an interpreter, and the variables that its process gets."""

    interpreter: str
    variables: Mapping[str, str]
    directory: Path | None = None
    """The process's working directory; the server's own where it is None."""


def launch(interpreter: str, server_variables: Mapping[str, str], own: Mapping[str, str], *, replicas: int) -> Launch:
    """For one of ``replicas`` workers that share the machine with the gateway; ``own`` are the endpoint's variables."""
    threads = str(max(1, ((os.cpu_count() or 1) - 1) // replicas))
    variables = {name: server_variables[name] for name in _PASSED_ON if name in server_variables}
    # The programs of the model's environment come before those of the machine.
    variables["PATH"] = os.pathsep.join(filter(None, (str(Path(interpreter).parent), variables.get("PATH", ""))))
    variables.update(dict.fromkeys(_THREAD_COUNTS, threads))
    return Launch(interpreter, {**variables, **_FIXED, **own})
