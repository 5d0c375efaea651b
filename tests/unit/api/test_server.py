"""The process of the control plane: it refuses plainly what it cannot do, and ends when it is asked to."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from servery.api.server import run_control
from servery.config import ControlConfig
from servery.errors import AddressRefused, HomeUnusable


def test_a_port_in_use_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressRefused, match=f"Cannot listen on 127.0.0.1:{port}: the port is in use"):
            run_control(ControlConfig(home=tmp_path, port=port))


def test_an_open_address_is_refused_without_insistence(tmp_path: Path) -> None:
    with pytest.raises(AddressRefused, match=r"Refusing to listen on 0\.0\.0\.0"):
        run_control(ControlConfig(home=tmp_path, host="0.0.0.0"))


def test_a_home_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(HomeUnusable):
        run_control(ControlConfig(home=tmp_path / "file" / "home"))


def test_a_database_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "servery.db").write_bytes(b"not a database" * 100)

    with pytest.raises(HomeUnusable, match="cannot be brought up to date"):
        run_control(ControlConfig(home=tmp_path, port=0))
