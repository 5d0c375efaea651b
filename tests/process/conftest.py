from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import save_echo


@pytest.fixture(scope="session")
def echo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_echo(tmp_path_factory.mktemp("packages") / "echo", version=7)
