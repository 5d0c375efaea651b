from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import save_echo


@pytest.fixture(scope="session")
def echo_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Packages of the echo model that answer as version 1 and as version 2."""
    folder = tmp_path_factory.mktemp("packages")
    return save_echo(folder / "one", version=1), save_echo(folder / "two", version=2)
