"""Model packages: an MLmodel directory written, read, described and checked, without mlflow.

Everything that may load a framework is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servery.package.compatibility import Compatibility, check_compatible
    from servery.package.python_model import PythonModel
    from servery.package.reader import LoadedModel, load_folder
    from servery.package.signature import infer_signature
    from servery.package.writer import save_model

__all__ = [
    "Compatibility",
    "LoadedModel",
    "PythonModel",
    "check_compatible",
    "infer_signature",
    "load_folder",
    "save_model",
]

_HOME_OF = {
    "Compatibility": "servery.package.compatibility",
    "LoadedModel": "servery.package.reader",
    "PythonModel": "servery.package.python_model",
    "check_compatible": "servery.package.compatibility",
    "infer_signature": "servery.package.signature",
    "load_folder": "servery.package.reader",
    "save_model": "servery.package.writer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'servery.package' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
