"""What is the same for all calls: how a request is read, and how a refusal looks."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from servery.api.app import create_app
from servery.api.services import Services
from servery.errors import QueueFull, Unavailable
from servery.registry.service import Registry
from servery.serving.answers import OF_ERROR
from tests.servers import wait_until
from tests.unit.api.conftest import ADDRESS, MLFLOW

CREATE = f"{MLFLOW}/registered-models/create"
JSON = {"Content-Type": "application/json"}


def refusal(answer: Any) -> tuple[int, str, str]:
    body = answer.json()
    assert set(body) == {"error_code", "message"}
    return answer.status_code, body["error_code"], body["message"]


def test_the_process_tells_that_it_lives_and_what_it_speaks(client: TestClient) -> None:
    assert client.get("/health").text == "OK"
    assert client.get("/version").text == "3.17.2"


@pytest.mark.parametrize("body", [{}, {"name": None}, {"name": ""}])
def test_a_required_field_must_be_there(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post(CREATE, json=body)

    assert refusal(answer) == (400, "INVALID_PARAMETER_VALUE", "Missing value for required parameter 'name'.")


@pytest.mark.parametrize(
    ("body", "field"),
    [({"name": 5}, "name"), ({"name": "spam", "tags": "x"}, "tags"), ({"name": "a", "tags": [{"value": "x"}]}, "tags")],
)
def test_a_field_of_another_type_is_named(client: TestClient, body: dict[str, Any], field: str) -> None:
    status, error_code, message = refusal(client.post(CREATE, json=body))

    assert (status, error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert message.startswith(f"Invalid value for '{field}': expected ")


def test_unknown_fields_are_ignored(client: TestClient) -> None:
    assert client.post(CREATE, json={"name": "spam", "color": "red"}).status_code == 200


def test_json_that_was_encoded_twice_is_tolerated(client: TestClient) -> None:
    assert client.post(CREATE, content=json.dumps(json.dumps({"name": "spam"})), headers=JSON).status_code == 200


@pytest.mark.parametrize("body", [b"[]", b"{", b"null", b"5", b'"x"', b"\xff", b"[" * 100_000, b'{"name": "\\ud800"}'])
def test_what_is_no_json_object_is_refused(client: TestClient, body: bytes) -> None:
    assert refusal(client.post(CREATE, content=body, headers=JSON))[:2] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_read(client: TestClient, content_type: str) -> None:
    answer = client.post(CREATE, content=b'{"name": "spam"}', headers={"Content-Type": content_type})

    assert refusal(answer)[:2] == (415, "BAD_REQUEST")


def test_a_body_has_a_limit(client: TestClient) -> None:
    answer = client.post(CREATE, content=b" " * ((1 << 20) + 1), headers=JSON)

    assert refusal(answer)[:2] == (413, "BAD_REQUEST")


def test_an_unknown_path_is_told_as_json(client: TestClient) -> None:
    assert refusal(client.get("/nothing"))[:2] == (404, "ENDPOINT_NOT_FOUND")
    assert refusal(client.get("/health/"))[:2] == (404, "ENDPOINT_NOT_FOUND")
    assert refusal(client.get("/api/3.0/mlflow/server-info"))[:2] == (404, "ENDPOINT_NOT_FOUND")


def test_a_wrong_method_is_told_as_json(client: TestClient) -> None:
    assert refusal(client.put(CREATE))[:2] == (405, "BAD_REQUEST")


def test_each_answer_has_an_id_of_its_own(client: TestClient) -> None:
    answers = [client.get(path) for path in ("/health", "/nothing", "/health")]

    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 3


def test_a_bug_tells_its_details_to_the_log_only(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("/home/secret/path")

    monkeypatch.setattr(Registry, "get_model", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.get(f"{MLFLOW}/registered-models/get", params={"name": "spam"})

    request_id = answer.headers["X-Request-Id"]
    expected = f"An internal error occurred; the server's log has it under request id {request_id}."
    assert refusal(answer) == (500, "INTERNAL_ERROR", expected)
    assert request_id in caplog.text
    assert "/home/secret/path" in caplog.text


def test_a_busy_server_tells_when_to_come_back(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Unavailable("The database is busy; try again.", retry_after_seconds=1)

    monkeypatch.setattr(Registry, "create_model", refuse)
    answer = client.post(CREATE, json={"name": "spam"})

    assert refusal(answer) == (503, "TEMPORARILY_UNAVAILABLE", "The database is busy; try again.")
    assert answer.headers["Retry-After"] == "1"


def test_a_full_queue_says_the_same_here_as_at_a_gateway(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise QueueFull("spam", retry_after_seconds=2)

    monkeypatch.setattr(Registry, "create_model", refuse)
    answer = client.post(CREATE, json={"name": "spam"})

    assert (answer.status_code, answer.json()["error_code"]) == OF_ERROR[QueueFull]
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_it_is_ready_while_endpoints_follow_what_is_asked(services: Services, client: TestClient) -> None:
    wait_until(lambda: client.get("/readyz").status_code == 200, "the first round is over")

    services.deployments._reconciler.healthy = False
    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").status_code == 200


def test_the_health_tells_that_the_reconciler_has_ended(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: Any) -> None:
        raise KeyError

    monkeypatch.setattr(type(services.deployments), "run", fail)
    with TestClient(create_app(services), base_url=ADDRESS) as client:
        assert client.get("/health").status_code == 503
