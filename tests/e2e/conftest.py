from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import servery
from tests.models import save_echo
from tests.servers import Both, both_planes


@pytest.fixture(scope="session")
def echo_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Packages of the echo model that answer as version 1 and as version 2."""
    folder = tmp_path_factory.mktemp("packages")
    return save_echo(folder / "one", version=1), save_echo(folder / "two", version=2)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with both_planes(tmp_path_factory.mktemp("planes") / "home") as running:
        yield running


@pytest.fixture
def client(both: Both) -> Iterator[servery.Client]:
    with servery.Client(both.up.url) as made:
        yield made
