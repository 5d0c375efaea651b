"""Pickles of models: what is not installed travels inside the pickle, what is installed is named.

A worker's environment has the model's requirements and nothing of the author's folder. So classes and functions of
a script, of a notebook and of the modules beside it are pickled by value; those of distributions, by their names.
"""

from __future__ import annotations

import pickle
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from servery.errors import InvalidInput, SetupError

_OUR_PACKAGES = frozenset({"servery", "servery_worker"})
_BY_VALUE_OF_OURS = "servery.package.python_model"


def dump(model: Any, file: Path, write: Callable[[Any, BinaryIO], object] | None = None) -> None:
    """Write ``model`` to ``file``; with ``write``, a framework's own way with pickles.

    Raises:
        InvalidInput: something that it holds cannot be pickled.
        SetupError: cloudpickle is not installed.
    """
    cloudpickle = import_cloudpickle()
    with _by_value(cloudpickle), file.open("wb") as opened:
        try:
            if write is not None:
                write(model, opened)
            else:
                # Python's default protocol, as MLflow does: cloudpickle's own default is the newest.
                cloudpickle.dump(model, opened, protocol=pickle.DEFAULT_PROTOCOL)
        except OSError:  # The disk's fault, and not the model's.
            raise
        except Exception as error:  # What the model's own __reduce__ or __getstate__ raises can be anything.
            got = f"{type(model).__name__}: {error}"
            raise InvalidInput("model", expected="a model that can be pickled", got=got) from error


def import_cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError:
        raise SetupError("Saving this model needs the package cloudpickle; install servery[sklearn].") from None
    return cloudpickle


@contextmanager
def _by_value(cloudpickle: Any) -> Iterator[None]:
    registered = [module for module in list(sys.modules.values()) if is_local(module)]
    known = set(cloudpickle.list_registry_pickle_by_value())
    registered = [module for module in registered if module.__name__ not in known]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def is_local(module: Any) -> bool:
    """Whether a module comes from a file that no distribution installed and that Python does not bring."""
    name, file = getattr(module, "__name__", None), getattr(module, "__file__", None)
    if not isinstance(module, ModuleType) or name is None or file is None or sys.modules.get(name) is not module:
        return False
    if name.partition(".")[0] in _OUR_PACKAGES:
        return bool(name == _BY_VALUE_OF_OURS)
    parts = Path(file).parts
    installed = "site-packages" in parts or "dist-packages" in parts
    return not installed and not Path(file).is_relative_to(sysconfig.get_path("stdlib")) and name != "__main__"
