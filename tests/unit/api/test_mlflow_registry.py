"""The registry's calls, as bytes on the wire; `tests/compat` has a stock client make them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from servery.api.services import Services
from servery.names import EndpointName
from tests.unit.api.conftest import ARTIFACTS, MLFLOW

Message = dict[str, Any]


def test_a_version_has_the_fields_of_mlflow_s_message(version: Message) -> None:
    assert version | {"creation_timestamp": 0, "last_updated_timestamp": 0} == {
        "name": "spam",
        "version": "1",
        "creation_timestamp": 0,
        "last_updated_timestamp": 0,
        "current_stage": "None",
        "description": "",
        "source": "mlflow-artifacts:/uploads/1",
        "run_id": "",
        "run_link": "",
        "status": "READY",
        "status_message": "",
        "tags": [],
        "aliases": [],
    }


def test_a_model_has_the_fields_of_mlflow_s_message(client: TestClient, version: Message) -> None:
    client.post(f"{MLFLOW}/registered-models/alias", json={"name": "spam", "alias": "champion", "version": "1"})

    model = client.get(f"{MLFLOW}/registered-models/get", params={"name": "spam"}).json()["registered_model"]

    assert model["aliases"] == [{"alias": "champion", "version": "1"}]
    assert [latest["version"] for latest in model["latest_versions"]] == ["1"]
    assert set(model) == {
        "name",
        "creation_timestamp",
        "last_updated_timestamp",
        "description",
        "latest_versions",
        "tags",
        "aliases",
    }


def test_both_of_mlflow_s_prefixes_are_served(client: TestClient, version: Message) -> None:
    for prefix in ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow"):
        assert client.get(f"{prefix}/model-versions/get?name=spam&version=1").json()["model_version"] == version


BAD = "INVALID_PARAMETER_VALUE"
CODES = [
    ("POST", "registered-models/create", {"name": "spam"}, 400, "RESOURCE_ALREADY_EXISTS"),
    ("POST", "registered-models/create", {"name": "a/b"}, 400, BAD),
    ("GET", "registered-models/get", {"name": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ("GET", "model-versions/get", {"name": "spam", "version": "9"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ("GET", "model-versions/get", {"name": "spam", "version": "x"}, 400, BAD),
    ("GET", "registered-models/alias", {"name": "spam", "alias": "none"}, 400, BAD),
    ("GET", "registered-models/alias", {"name": "none", "alias": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"),
    ("POST", "registered-models/alias", {"name": "spam", "alias": "v1", "version": "1"}, 400, BAD),
    ("GET", "registered-models/search", {"max_results": "1001"}, 400, BAD),
    ("GET", "registered-models/search", {"filter": "name"}, 400, BAD),
    ("GET", "registered-models/get-latest-versions", {"name": "spam", "stages": "x"}, 400, BAD),
    ("POST", "model-versions/create", {"name": "spam", "source": "/etc"}, 400, BAD),
    ("POST", "model-versions/create", {"name": "spam", "source": "mlflow-artifacts:/x"}, 400, BAD),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "error_code"), CODES)
def test_a_refusal_has_mlflow_s_code(
    client: TestClient, version: Message, method: str, path: str, body: Message, status: int, error_code: str
) -> None:
    how = {"params": body} if method == "GET" else {"json": body}

    answer = client.request(method, f"{MLFLOW}/{path}", **how)

    assert (answer.status_code, answer.json()["error_code"]) == (status, error_code)


def test_the_newest_version_is_the_latest_of_the_stage_none(client: TestClient, version: Message, source: str) -> None:
    client.post(f"{MLFLOW}/model-versions/create", json={"name": "spam", "source": source})

    def latest(stages: list[str]) -> list[str]:
        answer = client.post(f"{MLFLOW}/registered-models/get-latest-versions", json={"name": "spam", "stages": stages})
        return [message["version"] for message in answer.json()["model_versions"]]

    assert latest([]) == latest(["None"]) == ["2"]
    assert latest(["Production"]) == []


def test_the_download_uri_leads_to_the_frozen_files(client: TestClient, version: Message) -> None:
    client.put(f"{ARTIFACTS}/uploads/1/model.pkl", content=b"changed")

    uri = client.get(f"{MLFLOW}/model-versions/get-download-uri?name=spam&version=1").json()["artifact_uri"]

    folder = uri.removeprefix("mlflow-artifacts:/")
    assert client.get(f"{ARTIFACTS}/{folder}/model.pkl").content == b"weights"


CHANGES_OF_A_MODEL_IN_USE = [
    ("DELETE", "registered-models/delete", {"name": "spam"}),
    ("POST", "registered-models/rename", {"name": "spam", "new_name": "ham"}),
    ("DELETE", "model-versions/delete", {"name": "spam", "version": "1"}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES_OF_A_MODEL_IN_USE, ids=["delete", "rename", "version"])
def test_what_an_endpoint_serves_stays(
    client: TestClient,
    services: Services,
    version: Message,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: Message,
) -> None:
    monkeypatch.setattr(
        type(services.deployments), "endpoints_using", lambda *_: [EndpointName("mail"), EndpointName("chat")]
    )

    answer = client.request(method, f"{MLFLOW}/{path}", json=body)

    assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert answer.json()["message"].endswith("is in use by endpoints 'mail', 'chat'.")
    assert client.get(f"{MLFLOW}/model-versions/get?name=spam&version=1").status_code == 200


def test_a_moved_alias_is_told_to_the_endpoints_after_the_registry_has_it(
    client: TestClient, services: Services, version: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Any]] = []

    async def model_changed(_self: Any, name: str) -> None:
        told.append((name, dict(services.registry.get_model("spam").aliases)))  # type: ignore[arg-type]

    monkeypatch.setattr(type(services.deployments), "model_changed", model_changed)
    alias = {"name": "spam", "alias": "champion"}
    client.post(f"{MLFLOW}/registered-models/alias", json=alias | {"version": "1"})
    client.request("DELETE", f"{MLFLOW}/registered-models/alias", json=alias)

    assert told == [("spam", {"champion": 1}), ("spam", {})]
