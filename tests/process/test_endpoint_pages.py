"""What a live server tells of its endpoint, and whether that is true."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from openapi_spec_validator import validate

import servery
from tests.models import save_echo, spoil
from tests.process import json_answers_only
from tests.servers import Server, free_port, servery_process, serving, wait_until

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>alert(1)</script>"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
TRUTHS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance"
)
"""What schemathesis compares: all that an answer can break. Left out is whether a model takes every body that fits its
signature, and whether it takes none besides: headers and columns that nobody asked for are ignored."""


def save_table(folder: Path) -> Path:
    """Columns of every scalar type and a param; the answers are a table with NaN and bytes."""
    frame = pd.DataFrame(
        {
            "size": [10.0, None],
            "count": [1, 2],
            HOSTILE: ["Bern", "Basel"],
            "new": [True, False],
            "seen": pd.to_datetime(["2024-01-01", "2024-01-02"]),
            "key": [b"one", b"two"],
            "tags": [["a"], ["b", "c"]],
        }
    )

    class Table(servery.PythonModel):
        def predict(self, model_input: Any, params: Any = None) -> Any:
            return model_input[["size"]].assign(key=b"of all", total=model_input["count"] * params["rate"])

    servery.save_model(Table(), folder, input_example=(frame, {"rate": 2.0}), requirements=["pandas"])
    return folder


def save_array(folder: Path) -> Path:
    servery.save_model(
        lambda rows: rows.sum(axis=1), folder, input_example=np.array([[0.5, 1.0, 1.5]]), requirements=["numpy"]
    )
    return folder


def save_unsigned(folder: Path) -> Path:
    servery.save_model(lambda data: {"kind": type(data).__name__}, folder, requirements=[])
    return folder


@pytest.fixture(scope="module", params=[save_table, save_array, save_unsigned], ids=["table", "array", "no signature"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pages")
    with serving(request.param(folder / "model"), folder / "home") as running:
        yield running


def test_the_document_is_valid_and_its_example_is_answered_as_it_says(server: Server) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    validate(document)
    assert httpx.get(f"{server.url}/endpoints/model/openapi.json").json() == document
    operation = document["paths"]["/endpoints/model/invocations"]["post"]
    sent = operation["requestBody"]["content"]["application/json"]
    if "example" in sent:
        answered = httpx.post(f"{server.url}/endpoints/model/invocations", json=sent["example"], timeout=20)
        assert answered.json() == operation["responses"]["200"]["content"]["application/json"]["example"]


def test_schemathesis_finds_no_answer_that_breaks_the_document(server: Server, tmp_path: Path) -> None:
    # A deadline of one millisecond would be answered with 504, which counts as a fault there.
    given = ["--checks", TRUTHS, "--max-examples", "10", "--header", "X-Request-Timeout-Ms: 60000", "--no-color"]
    ran = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json", *given],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": json_answers_only.__name__, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Tested: 7" in ran.stdout


@pytest.mark.parametrize("path", ["/", "/endpoints/model"])
def test_a_browser_gets_a_page_and_anyone_else_json(server: Server, path: str) -> None:
    page = httpx.get(server.url + path, headers=HTML)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert HOSTILE not in page.text
    assert page.headers["vary"].endswith("Accept")
    assert httpx.get(server.url + path).json()["invocations"] == "/endpoints/model/invocations"


def test_a_page_is_read_only_and_an_unknown_endpoint_has_none(server: Server) -> None:
    assert httpx.head(f"{server.url}/endpoints/model", headers=HTML).status_code == 200
    refused = httpx.post(f"{server.url}/endpoints/model", json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    for path in ("/endpoints/other", "/endpoints/other/openapi.json"):
        assert httpx.get(server.url + path).json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert httpx.get(f"{server.url}/endpoints/model/other").json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_pages_answer_while_the_version_is_loading_and_say_so(tmp_path: Path) -> None:
    port, package = free_port(), spoil(save_echo(tmp_path / "echo", version=1), "hang")
    arguments = ("serve", str(package), "-p", str(port), "--home", str(tmp_path / "home"))
    settings = {"SERVERY_LOAD_TIMEOUT_SECONDS": "60", "SERVERY_DRAIN_TIMEOUT_SECONDS": "1"}
    with servery_process(*arguments, port=port, log=tmp_path / "log", environment=settings) as server:

        def known() -> dict[str, Any] | None:
            try:
                told: dict[str, Any] = httpx.get(f"{server.url}/", timeout=5).json()
            except httpx.TransportError:
                return None
            return told if told["inputs"] else None

        wait_until(lambda: known() is not None, "the page tells the signature")
        told = known()
        assert told is not None
        assert told["versions"][0]["state"] == "loading"
        assert "echo/1 is loading" in httpx.get(f"{server.url}/openapi.json").json()["info"]["description"]
        assert "<td>loading" in httpx.get(f"{server.url}/", headers=HTML).text
