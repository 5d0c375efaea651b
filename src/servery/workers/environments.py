"""Where a version's workers run: which interpreter, with which environment variables.

A version runs in this interpreter's own environment. The variables of the server's process, its credentials among
them, stay with the server: a worker gets the few named here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

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
class Environment:
    """An interpreter and the variables that a worker starts with."""

    interpreter: str
    variables: Mapping[str, str]


def local_environment(server_variables: Mapping[str, str], *, replicas: int) -> Environment:
    """This interpreter, for one of ``replicas`` workers that share the machine with the gateway."""
    threads = str(max(1, ((os.cpu_count() or 1) - 1) // replicas))
    variables = {name: server_variables[name] for name in _PASSED_ON if name in server_variables}
    variables.update(dict.fromkeys(_THREAD_COUNTS, threads))
    return Environment(sys.executable, variables | _FIXED)
