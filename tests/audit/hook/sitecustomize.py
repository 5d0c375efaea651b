"""Watches every server process that the tests start: what it imports, unpickles and executes (rule 2).

Python imports this module at start wherever its folder is on PYTHONPATH. In a ``servery`` process that serves, and in
no other, it installs an audit hook, and writes one file for the process: its command, then a line for each violation.
Workers run with ``-I`` and so never see it. The folder comes from the environment.
"""

from __future__ import annotations

import os
import sys

FOLDER_VARIABLE = "TESTS_AUDIT_FOLDER"
SERVERS = frozenset({"up", "control", "gateway", "serve", "check"})
"""A check is no server; it looks at packages that nobody trusts yet, and keeps the same rule."""
FORBIDDEN = frozenset(
    {
        *("mlflow", "cloudpickle", "dill", "joblib", "skops", "numpy", "scipy", "pandas", "polars", "pyarrow"),
        *("sklearn", "xgboost", "lightgbm", "catboost", "statsmodels", "pmdarima", "prophet", "spacy"),
        *("onnx", "onnxruntime", "torch", "keras", "tensorflow", "jax"),
        *("transformers", "sentence_transformers", "langchain", "langchain_core"),
    }
)
"""What models are made of and kept in: no server process has any use for them."""


def role_of(arguments: list[str]) -> str | None:
    """``serve`` for ``python -m servery.cli.main serve …`` and for ``python …/bin/servery serve …``."""
    for place, argument in enumerate(arguments[1:], start=1):
        if argument == "servery.cli.main" or os.path.basename(argument) == "servery":
            command = next((one for one in arguments[place + 1 :] if not one.startswith("-")), None)
            return command if command in SERVERS else None
    return None


def is_packaged(path: object) -> bool:
    """It lies in a model package, or among the files of one."""
    if not isinstance(path, str) or not os.path.isabs(path):
        return False
    folder = os.path.dirname(path)
    while folder != os.path.dirname(folder):
        if os.path.exists(os.path.join(folder, "MLmodel")) or os.path.basename(folder) == "blobs":
            return True
        folder = os.path.dirname(folder)
    return False


def violation_of(event: str, details: tuple[object, ...]) -> str | None:
    """What is wrong with an audit event; None where nothing is."""
    if event == "import":
        module, file = details[0], details[1]
        if str(module).partition(".")[0] in FORBIDDEN or is_packaged(file):
            return f"import of {module}"
    elif event == "pickle.find_class":
        return f"unpickling of {details[0]}.{details[1]}"
    elif event in {"exec", "compile"}:
        file = getattr(details[0], "co_filename", None) if event == "exec" else details[1]
        if is_packaged(file):
            return f"{event} of {file}"
    return None


def watch(role: str, folder: str) -> None:
    """Record this process, and from here on what it must not do."""
    record = os.open(os.path.join(folder, f"{role}-{os.getpid()}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(record, f"{' '.join(sys.orig_argv)}\n".encode())

    def hook(event: str, details: tuple[object, ...]) -> None:
        found = violation_of(event, details) if event in _EVENTS else None
        if found is not None:
            os.write(record, f"{found}, by {_callers()}\n".encode())

    sys.addaudithook(hook)


_EVENTS = frozenset({"import", "pickle.find_class", "exec", "compile"})


def _callers() -> str:
    """Where in the code it came from, the innermost first."""
    frame = sys._getframe(2)
    places: list[str] = []
    while frame is not None and len(places) < 6:
        if "importlib" not in frame.f_code.co_filename:
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(places)


if __name__ == "sitecustomize" and os.environ.get(FOLDER_VARIABLE) and (role := role_of(sys.orig_argv)):
    watch(role, os.environ[FOLDER_VARIABLE])
