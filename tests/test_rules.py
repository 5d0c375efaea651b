"""Rules of the house that no type checker knows: each says what to do instead."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "src"
FILES = sorted(SOURCES.rglob("*.py"))
PICKLES = {"pickle", "cloudpickle", "joblib", "skops", "dill"}
FRAMEWORKS = {"cloudpickle", "joblib", "skops", "numpy", "pandas", "sklearn", "mlflow"}
DRAWERS = {"utils", "util", "helpers", "common", "misc", "tools"}


def names_of(file: Path) -> Iterator[tuple[int, str]]:
    """Every dotted name that a file uses, with its line: ``os.environ``, ``time.sleep``."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.lineno, f"{node.value.id}.{node.attr}"
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "shell":
                    yield node.lineno, "shell="


@pytest.mark.parametrize(
    ("banned", "allowed_in", "instead"),
    [
        (
            {"os.environ", "os.getenv"},
            # Keras takes its backend from nowhere else.
            {"servery/config.py", "servery_worker/flavors/keras.py"},
            "take it from the process's config object",
        ),
        (
            {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow"},
            {"servery/clock.py", "servery_worker/clock.py"},
            "take a Clock",
        ),
        ({"time.sleep"}, {"servery/clock.py"}, "wait for the condition, with a deadline"),
        ({"shell=", "os.system", "os.popen"}, set(), "start a process by a list of arguments"),
    ],
)
def test_it_is_used_nowhere_else(banned: set[str], allowed_in: set[str], instead: str) -> None:
    found = [
        f"{file.relative_to(SOURCES)}:{line} uses {name}; {instead}"
        for file in FILES
        if str(file.relative_to(SOURCES)) not in allowed_in
        for line, name in names_of(file)
        if name in banned
    ]
    assert found == []


def test_a_module_is_named_for_what_it_knows() -> None:
    assert [file for file in FILES if file.stem in DRAWERS] == []


@pytest.mark.parametrize("module", ["servery.serving.server", "servery.api.server"])
def test_no_server_process_imports_what_could_run_a_model(module: str) -> None:
    probe = f"import sys, {module}; print(*{FRAMEWORKS!r} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == ""


def test_only_the_package_room_and_the_guest_know_of_pickle() -> None:
    found = [file.relative_to(SOURCES) for file in FILES if any(_imports(file, name) for name in PICKLES)]
    assert [
        file for file in found if file.parts[:2] != ("servery", "package") and file.parts[0] != "servery_worker"
    ] == []


def _imports(file: Path, module: str) -> bool:
    return any(
        (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == module for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == module)
        for node in ast.walk(ast.parse(file.read_text()))
    )


def test_the_guest_imports_only_the_standard_library_at_start() -> None:
    probe = (
        "import sys, importlib, pkgutil, servery_worker\n"
        "for module in pkgutil.walk_packages(servery_worker.__path__, 'servery_worker.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "known = sys.stdlib_module_names | {'servery_worker', '__main__'}\n"
        "print(*{name.split('.')[0] for name in sys.modules} - known)\n"
    )
    environment = {"PYTHONPATH": str(SOURCES)}
    ran = subprocess.run(
        [sys.executable, "-S", "-c", probe], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == ""
