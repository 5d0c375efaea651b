"""Where a worker process begins: ``python -I …/servery_worker/__main__.py FD``.

FD is one end of a stream socket that the gateway left open for it. The file is run by its path, so that the guest
needs no place on the module path of the model's environment, and nothing else of ours can be imported by a model.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import socket
import sys

_PR_SET_PDEATHSIG = 1


def _become_package() -> None:
    """Make ``servery_worker`` importable from this folder alone."""
    folder = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        "servery_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise ImportError("the guest's folder cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["servery_worker"] = module
    spec.loader.exec_module(module)


def _die_with_parent() -> None:
    """Ask the kernel to end this process with the gateway, even while a model is stuck in native code."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    _die_with_parent()
    _become_package()
    from servery_worker.loop import run

    return run(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
