"""The pages of an endpoint that several versions serve."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pandas as pd
from openapi_spec_validator import validate

import servery
from tests.servers import Both


def test_versions_that_differ_are_told_with_their_shares_and_what_each_takes(
    both: Both, client: servery.Client, tmp_path: Path
) -> None:
    servery.save_model(
        lambda rows: rows.sum(axis=1), tmp_path / "array", input_example=np.array([[1.0, 2.0]]), requirements=["numpy"]
    )
    servery.save_model(
        lambda data: data["size"] * 2,
        tmp_path / "table",
        input_example=pd.DataFrame({"size": [1.0]}),
        requirements=["pandas"],
    )
    client.register(tmp_path / "array", "array")
    client.register(tmp_path / "table", "table")
    client.deploy("mixed", [("models:/array/1", 30), ("models:/table/1", 70)])

    url = f"{both.gateway_url}/endpoints/mixed"
    told = httpx.get(url).json()
    assert [(one["version"], one["percent"], one["state"]) for one in told["versions"]] == [
        ("table/1", 70, "ready"),
        ("array/1", 30, "ready"),
    ]
    assert told["inputs"] == [{"name": "size", "type": "double", "required": True}]
    assert told["versions"][1]["inputs"] == [{"name": None, "type": "float64 [-1, 2]", "required": True}]
    document = httpx.get(f"{url}/openapi.json").json()
    validate(document)
    assert "Served by table/1 (70 %), array/1 (30 %)." in document["info"]["description"]
    assert "<summary>array/1</summary>" in httpx.get(url, headers={"Accept": "text/html"}).text

    client.deploy("mixed", "models:/array/1", allow_incompatible=True)
    assert [one["version"] for one in httpx.get(url).json()["versions"]] == ["array/1"]
    client.delete_endpoint("mixed")
