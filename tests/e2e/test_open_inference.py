"""An endpoint of several versions over the Open Inference Protocol: one of them by its number, or as traffic goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

import servery
from tests.models import NORMAL
from tests.servers import Both

ROW: dict[str, Any] = {"inputs": [{"name": "input", "datatype": "INT64", "shape": [1, 2], "data": [5, NORMAL]}]}


def test_a_version_in_the_path_is_the_one_that_answers(
    both: Both, client: servery.Client, echo_folders: tuple[Path, Path]
) -> None:
    for folder in echo_folders:
        client.register(folder, name="pinned")
    client.deploy("shared", [("models:/pinned/1", 50), ("models:/pinned/2", 50)])
    with httpx.Client(base_url=f"{both.gateway_url}/v2/models/shared") as gateway:
        assert gateway.get("").json()["versions"] == ["1", "2"]
        for version in (1, 2):
            for _ in range(10):
                answer = gateway.post(f"/versions/{version}/infer", json=ROW).json()
                assert (answer["model_name"], answer["model_version"]) == ("shared", str(version))
                assert answer["outputs"][0]["data"] == [version, 5, 5 * version]
        answers = [gateway.post("/infer", json=ROW).json() for _ in range(40)]
        assert {answer["model_version"] for answer in answers} == {"1", "2"}
        assert all(answer["outputs"][0]["data"][0] == int(answer["model_version"]) for answer in answers)
        refused = gateway.post("/versions/3/infer", json=ROW)
        assert (refused.status_code, refused.json()["error"]) == (
            404,
            "Model 'shared' has no version '3'; it has '1', '2'.",
        )
        records = gateway.get("/stats").json()["model_stats"]
        assert [record["version"] for record in records] == ["1", "2"]
        assert sum(record["inference_count"] for record in records) == 60
    index = httpx.post(f"{both.gateway_url}/v2/repository/index").json()
    assert [(entry["name"], entry["version"], entry["state"]) for entry in index] == [
        ("shared", "1", "READY"),
        ("shared", "2", "READY"),
    ]
