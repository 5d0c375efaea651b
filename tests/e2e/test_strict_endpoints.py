"""An endpoint that is strict refuses what it would otherwise change to fit, and say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

import servery
from tests.servers import Both, serving

EXACT = {"dataframe_records": [{"x": 1.0}]}
LOSSY = {"dataframe_records": [{"x": 1.5}]}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two packages of a model of one column of integers; its answers to negative ones are NaN."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("one", "two"):
        servery.save_model(
            lambda data: data["x"].where(data["x"] > 0).astype("float64"),
            folder / name,
            input_example=pd.DataFrame({"x": [1, 2]}),
            requirements=["pandas"],
        )
    return folder / "one", folder / "two"


def ask(url: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{url}/invocations", json=body, headers=given, timeout=20)


def test_strict_belongs_to_the_endpoint_and_stays_until_it_is_said_otherwise(
    both: Both, client: servery.Client, packages: tuple[Path, Path]
) -> None:
    url = f"{both.gateway_url}/endpoints/careful"
    for package in packages:
        client.register(package, "whole")
    assert not client.deploy("careful", "models:/whole/1").strict
    assert ask(url, LOSSY).status_code == 200

    assert client.deploy("careful", "models:/whole/1", strict=True).strict
    refused = ask(url, LOSSY)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "X-Servery-Coerced" not in refused.headers
    assert ask(url, EXACT).status_code == 200

    assert client.deploy("careful", "models:/whole/2").strict
    command = [sys.executable, "-m", "servery.cli.main"]
    shown = [*command, "endpoints", "show", "careful", "--server", both.up.url]
    assert "Strict    yes" in subprocess.run(shown, capture_output=True, text=True, timeout=60, check=True).stdout
    assert ask(url, LOSSY).status_code == 400
    loose = [*command, "deploy", "careful", "models:/whole/2", "--no-strict", "--server", both.up.url]
    subprocess.run(loose, capture_output=True, timeout=60, check=True)
    assert ask(url, LOSSY).status_code == 200
    assert client.rollback("careful").strict
    assert ask(url, LOSSY).status_code == 400


def test_strict_alone_may_be_asked_for(both: Both, client: servery.Client, packages: tuple[Path, Path]) -> None:
    client.register(packages[0], "alone")
    client.deploy("alone", "models:/alone/1")
    config = f"{both.up.url}/api/2.0/serving-endpoints/alone/config"
    assert httpx.put(config, json={"strict": True}, timeout=20).status_code == 200
    assert client.wait("alone").strict
    assert ask(f"{both.gateway_url}/endpoints/alone", LOSSY).status_code == 400


def test_what_was_changed_to_fit_is_told_to_its_caller_and_counted(
    both: Both, client: servery.Client, packages: tuple[Path, Path]
) -> None:
    client.register(packages[0], "told")
    client.deploy("told", "models:/told/1")
    url = f"{both.gateway_url}/endpoints/told"

    assert ask(url, LOSSY).headers["X-Servery-Coerced"] == "x"
    assert "X-Servery-Coerced" not in ask(url, EXACT).headers
    assert client.ask("told", json.dumps(LOSSY).encode()).coerced == ("x",)
    assert client.ask("told", json.dumps(EXACT).encode()).coerced == ()
    metrics = httpx.get(f"{both.gateway_url}/metrics").text
    assert 'servery_coerced_requests_total{endpoint="told",version="told/1"} 2.0' in metrics


def test_a_model_served_alone_may_be_strict_and_writes_nan_bare_for_who_asks(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    missing = {"dataframe_records": [{"x": -1}]}
    with serving(packages[0], tmp_path / "home", settings={"strict": True}) as server:
        assert ask(server.url, LOSSY).status_code == 400
        assert ask(server.url, missing).text == '{"predictions":[{"x":null}]}'
        assert '"x":NaN' in ask(server.url, missing, X_Servery_Nan="bare").text.replace(" ", "")
        refused = ask(server.url, missing, X_Servery_Nan="please")
        assert refused.status_code == 400
        assert "X-Servery-Nan" in refused.json()["message"]
        assert ask(server.url, LOSSY, X_Servery_Nan="bare").status_code == 400
