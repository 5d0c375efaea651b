"""Servery: package a trained model, keep its versions, serve the one you choose, swap it under load.

The names below are loaded when first used, so that ``import servery`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from servery.version import __version__

if TYPE_CHECKING:
    from servery.client import AsyncClient, Client, RetryPolicy, load_model
    from servery.errors import ServeryError
    from servery.package import PythonModel, check_compatible, infer_signature, save_model

__all__ = [
    "AsyncClient",
    "Client",
    "PythonModel",
    "RetryPolicy",
    "ServeryError",
    "__version__",
    "check_compatible",
    "infer_signature",
    "load_model",
    "save_model",
]

_HOME_OF = {
    "AsyncClient": "servery.client",
    "Client": "servery.client",
    "PythonModel": "servery.package",
    "RetryPolicy": "servery.client",
    "ServeryError": "servery.errors",
    "check_compatible": "servery.package",
    "infer_signature": "servery.package",
    "load_model": "servery.client",
    "save_model": "servery.package",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'servery' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
