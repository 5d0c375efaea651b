"""Endpoints by HTTP: the serving-endpoints shape, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from servery.api.invocations import BODY_BYTES_MAX
from tests.control import HttpGateway, control_plane
from tests.servers import wait_until
from tests.unit.deployments.examples import CHAMPION, FakeVersions, key

BAD = 5
ENDPOINTS = "/api/2.0/serving-endpoints"


@pytest.fixture(scope="module")
def versions() -> FakeVersions:
    return FakeVersions()


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, versions: FakeVersions) -> Iterator[str]:
    with control_plane(tmp_path_factory.mktemp("home"), versions) as url:
        yield url


@pytest.fixture(scope="module")
def _gateway(control: str) -> Iterator[HttpGateway]:
    with HttpGateway("g1", control, bad=frozenset({key(BAD)})) as gateway:
        yield gateway


@pytest.fixture
def client(control: str, _gateway: HttpGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=control, timeout=20) as client:
        yield client
        for endpoint in client.get(ENDPOINTS).json()["endpoints"]:
            assert client.delete(f"{ENDPOINTS}/{endpoint['name']}").status_code == 200


def entity(version: object = "1", **more: Any) -> dict[str, Any]:
    return {"entity_name": "spam", "entity_version": version, **more}


def create(client: httpx.Client, *entities: dict[str, Any], name: str = "mail", **more: Any) -> dict[str, Any]:
    config = {"served_entities": list(entities) or [entity()], **more}
    answer = client.post(ENDPOINTS, json={"name": name, "config": config})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def settled(client: httpx.Client, name: str = "mail") -> dict[str, Any]:
    """The endpoint once it has moved or failed."""
    found: dict[str, Any] = {}

    def is_settled() -> bool:
        found.clear()
        found.update(client.get(f"{ENDPOINTS}/{name}").json())
        return bool(found["state"]["config_update"] != "IN_PROGRESS")

    wait_until(is_settled, "the endpoint has moved or failed")
    return found


def predict(client: httpx.Client, name: str = "mail", body: object = None) -> httpx.Response:
    return client.post(f"/serving-endpoints/{name}/invocations", json=body or {"inputs": [1]})


def test_an_endpoint_is_created_in_progress_and_serves_in_the_end(client: httpx.Client) -> None:
    created = create(client, entity("2", min_provisioned_concurrency=2))

    assert created["state"] == {"ready": "NOT_READY", "config_update": "IN_PROGRESS"}
    assert "config" not in created
    assert created["pending_config"]["served_entities"][0]["state"]["deployment"] == "DEPLOYMENT_CREATING"

    served = settled(client)
    assert served["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert "pending_config" not in served
    assert served["config"]["config_version"] == 1
    assert served["config"]["traffic_config"]["routes"] == [
        {"served_entity_name": "spam-2", "served_model_name": "spam-2", "traffic_percentage": 100}
    ]
    (found,) = served["config"]["served_entities"]
    assert (found["entity_name"], found["entity_version"], found["min_provisioned_concurrency"]) == ("spam", "2", 2)
    assert found["state"]["deployment"] == "DEPLOYMENT_READY"
    assert predict(client).json() == {"predictions": ["spam/2"]}


def test_the_endpoint_says_where_its_gateway_answers(client: httpx.Client) -> None:
    create(client)
    url = settled(client)["endpoint_url"]

    assert httpx.post(url, json={"inputs": [1]}).json() == {"predictions": ["spam/1"]}


def test_an_endpoint_follows_its_alias(client: httpx.Client, versions: FakeVersions) -> None:
    versions.aliases[CHAMPION] = 1
    create(client, entity("@champion"))
    assert settled(client)["config"]["served_entities"][0]["entity_alias"] == "champion"

    versions.aliases[CHAMPION] = 3
    moved = client.get(f"{ENDPOINTS}/mail").json()
    assert moved["state"]["config_update"] == "IN_PROGRESS"
    assert moved["config"]["served_entities"][0]["entity_version"] == "1"
    assert moved["pending_config"]["served_entities"][0]["entity_version"] == "3"


def test_a_version_that_does_not_load_leaves_the_one_that_works_and_tells_why(client: httpx.Client) -> None:
    create(client, entity("1"))
    settled(client)
    client.put(
        f"{ENDPOINTS}/mail/config", json={"served_entities": [entity("2"), entity("5")]} | traffic(50, 50, "2", "5")
    )

    failed = settled(client)
    cause = "spam/5 failed to load: it has no weights."
    assert failed["state"] == {"ready": "READY", "config_update": "UPDATE_FAILED"}
    assert failed["failure"] == cause
    assert [one["state"] for one in failed["pending_config"]["served_entities"]] == [
        {"deployment": "DEPLOYMENT_ABORTED", "deployment_state_message": cause},
        {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": cause},
    ]
    assert failed["config"]["served_entities"][0]["entity_version"] == "1"
    assert predict(client).headers["X-Model-Version"] == "spam/1"


def traffic(one: int, two: int, *versions: str) -> dict[str, Any]:
    names = [f"spam-{version}" for version in versions or ("1", "2")]
    return {
        "traffic_config": {
            "routes": [
                {"served_model_name": name, "traffic_percentage": percent}
                for name, percent in zip(names, (one, two), strict=True)
            ]
        }
    }


def test_the_traffic_alone_can_change(client: httpx.Client) -> None:
    create(client, entity("1"), entity("2"), **traffic(100, 0))
    settled(client)
    answer = client.put(f"{ENDPOINTS}/mail/config", json=traffic(0, 100))
    assert answer.json()["state"]["config_update"] == "IN_PROGRESS"

    assert settled(client)["config"]["config_version"] == 2
    assert predict(client).headers["X-Model-Version"] == "spam/2"


def test_rollback_goes_back_to_the_versions_of_before(client: httpx.Client) -> None:
    create(client, entity("1"))
    settled(client)
    refusal = client.post("/api/2.0/servery/endpoints/mail/rollback", json={})
    assert (refusal.status_code, refusal.json()["message"]) == (
        400,
        "Endpoint 'mail' has served no other config to go back to.",
    )
    client.put(f"{ENDPOINTS}/mail/config", json={"served_entities": [entity("2")]})
    settled(client)

    assert client.post("/api/2.0/servery/endpoints/mail/rollback", json={}).status_code == 200
    assert settled(client)["config"]["served_entities"][0]["entity_version"] == "1"
    assert predict(client).headers["X-Model-Version"] == "spam/1"


def test_a_deleted_endpoint_is_gone_from_the_gateways_too(client: httpx.Client) -> None:
    create(client)
    url = settled(client)["endpoint_url"]
    client.delete(f"{ENDPOINTS}/mail")

    assert httpx.post(url, json={"inputs": [1]}).status_code == 404
    assert client.get(f"{ENDPOINTS}/mail").json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert client.delete(f"{ENDPOINTS}/mail").status_code == 404


def test_the_older_name_of_served_entities_is_understood(client: httpx.Client) -> None:
    model = {"model_name": "spam", "model_version": "2", "workload_size": "Small", "scale_to_zero_enabled": False}
    answer = client.post(f"{ENDPOINTS}/", json={"name": "mail", "config": {"served_models": [model]}})

    assert answer.json()["pending_config"]["served_entities"][0]["entity_version"] == "2"


def test_what_means_nothing_here_is_ignored_with_a_warning(client: httpx.Client) -> None:
    found = entity(workload_size="Small", scale_to_zero_enabled=True, workload_type="CPU")
    body = {"name": "mail", "config": {"served_entities": [found]}, "ai_gateway": {"usage": 1}}

    assert client.post(ENDPOINTS, json=body).json()["warnings"] == [
        "ai_gateway is ignored: there is no AI gateway.",
        "served_entities[0].workload_size is ignored: min_provisioned_concurrency is the number of workers.",
        "served_entities[0].scale_to_zero_enabled is ignored: workers stay.",
    ]
    assert "warnings" not in client.get(f"{ENDPOINTS}/mail").json()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"config": {"served_entities": [entity()]}}, 400, "'name'"),
        ({"name": "a b", "config": {"served_entities": [entity()]}}, 400, "'name'"),
        ({"name": "mail"}, 400, "'config'"),
        ({"name": "mail", "config": {}}, 400, "'served_entities'"),
        ({"name": "mail", "config": {"served_entities": ["spam"]}}, 400, "'config'"),
        ({"name": "mail", "config": {"served_entities": [entity("x")]}}, 400, "'served_entities[0].entity_version'"),
        ({"name": "mail", "config": {"served_entities": [entity(99)]}}, 404, "spam/99"),
        ({"name": "mail", "config": {"served_entities": [entity("@nobody")]}}, 404, "nobody"),
        ({"name": "mail", "config": {"served_entities": [{"entity_name": "ham", "entity_version": 1}]}}, 404, "ham"),
        (
            {"name": "mail", "config": {"served_entities": [entity(environment_vars={"A": "{{secrets/scope/key}}"})]}},
            400,
            "environment_vars",
        ),
        (
            {"name": "mail", "config": {"served_entities": [entity()]}, "rate_limits": [{"calls": 1}]},
            400,
            "rate_limits",
        ),
        ({"name": "mail", "config": {"served_entities": [entity()], **traffic(1, 99)}}, 400, "spam-2"),
    ],
)
def test_what_is_refused_is_named(client: httpx.Client, body: dict[str, Any], status: int, words: str) -> None:
    answer = client.post(ENDPOINTS, json=body)

    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_a_name_is_given_once(client: httpx.Client) -> None:
    create(client)
    again = client.post(ENDPOINTS, json={"name": "mail", "config": {"served_entities": [entity()]}})

    assert again.json()["error_code"] == "RESOURCE_ALREADY_EXISTS"


def test_tags_are_added_and_deleted(client: httpx.Client) -> None:
    create(client)
    client.patch(f"{ENDPOINTS}/mail/tags", json={"add_tags": [{"key": "a", "value": "1"}, {"key": "b"}]})
    answer = client.patch(f"{ENDPOINTS}/mail/tags", json={"delete_tags": ["a"]})

    assert answer.json() == client.get(f"{ENDPOINTS}/mail/tags").json() == {"tags": [{"key": "b", "value": ""}]}


def test_rate_limits_are_refused_plainly(client: httpx.Client) -> None:
    create(client)
    answer = client.put(f"{ENDPOINTS}/mail/rate-limits", json={"rate_limits": [{"calls": 1}]})

    assert answer.status_code == 400
    assert "not supported yet" in answer.json()["message"]


def test_an_answer_of_the_gateway_comes_back_whole(client: httpx.Client) -> None:
    create(client)
    settled(client)
    answer = predict(client)
    assert answer.headers["X-Request-Id"] == "from-gateway"

    refusal = predict(client, body={"inputs": "overload"})
    assert (refusal.status_code, refusal.headers["Retry-After"], refusal.json()) == (429, "7", {"message": "too much"})


def test_a_request_too_large_to_be_forwarded_is_told_where_to_go(client: httpx.Client) -> None:
    create(client)
    answer = client.post("/serving-endpoints/mail/invocations", content=b" " * (BODY_BYTES_MAX + 1))

    assert answer.status_code == 413
    assert str(BODY_BYTES_MAX) in answer.json()["message"]
    assert "endpoint_url" in answer.json()["message"]


def test_without_a_gateway_a_prediction_may_be_tried_again(tmp_path: Path) -> None:
    with control_plane(tmp_path, FakeVersions()) as url, httpx.Client(base_url=url) as client:
        create(client)
        answer = predict(client)

        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert predict(client, "other").status_code == 404
        assert client.get(f"{ENDPOINTS}/mail").json()["state"]["config_update"] == "IN_PROGRESS"


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("g9", {"gateway": "g8", "address": "http://127.0.0.1:1", "table_number": 0}),
        ("g9", {"gateway": "g9", "address": "http://127.0.0.1:1/path?", "table_number": 0}),
        ("g9", {"gateway": "g9", "address": "file:///etc/passwd", "table_number": 0}),
        ("g9", {"gateway": "g9", "address": "http://127.0.0.1:1", "table_number": -1}),
        ("g9", {"gateway": "g9", "address": "http://127.0.0.1:1"}),
        ("g9", []),
    ],
)
def test_a_report_that_is_none_is_refused(client: httpx.Client, name: str, report: object) -> None:
    assert client.put(f"/api/2.0/servery/gateways/{name}", json=report).status_code == 400
    assert [one["gateway"] for one in client.get("/api/2.0/servery/gateways").json()["gateways"]] == ["g1"]


def test_a_poll_for_the_table_is_answered_when_there_is_a_newer_one(client: httpx.Client) -> None:
    newest = client.get("/api/2.0/servery/routing-table", params={"after": -1}).json()

    assert client.get("/api/2.0/servery/routing-table", params={"after": newest["number"]}).status_code == 204
