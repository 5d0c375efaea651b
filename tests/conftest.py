"""Rule 2 in the whole run: no server process imports what a model is made of, or unpickles anything."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import servery
from tests.audit.records import violations, watching
from tests.servers import Both, both_planes

_RECORDS = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()
_VIOLATIONS = pytest.StashKey[list[str]]()
_OUTPUT = "violations"
"""Under this name a process of pytest-xdist tells the one that it works for."""


def pytest_configure(config: pytest.Config) -> None:
    """From here on every server process that a test starts is watched, and none asks an index for packages, or takes
    gRPC's one usual port, unless the test says so.
    """
    os.environ["UV_OFFLINE"] = "1"
    os.environ["SERVERY_GRPC_PORT"] = "0"
    config.stash[_VIOLATIONS] = []
    config.stash[_RECORDS] = folder = tempfile.TemporaryDirectory(prefix="servery-audit-")
    os.environ.update(watching(Path(folder.name), os.environ))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A process of pytest-xdist has run its share of the tests."""
    told = getattr(node, "workeroutput", {})  # It has none when it died.
    node.config.stash[_VIOLATIONS] += told.get(_OUTPUT, ["a process of the tests died and told nothing"])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    found = session.config.stash[_VIOLATIONS]
    found += violations(Path(session.config.stash[_RECORDS].name))
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_OUTPUT] = found
    elif found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_VIOLATIONS, [])
    if found:
        terminalreporter.section("server processes did what only workers may", red=True, bold=True)
        terminalreporter.write_line("\n".join(found))


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_RECORDS].cleanup()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A control plane and its gateway, shared by a module's tests."""
    with both_planes(tmp_path_factory.mktemp("planes") / "home") as running:
        yield running


@pytest.fixture
def client(both: Both) -> Iterator[servery.Client]:
    with servery.Client(both.up.url) as made:
        yield made
