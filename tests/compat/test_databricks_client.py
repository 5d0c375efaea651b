"""The public clients of managed MLflow serving work against us with another host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, ResourceAlreadyExists
from databricks.sdk.service.serving import (
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    EndpointTag,
    Route,
    ServedEntityInput,
    TrafficConfig,
)
from mlflow.deployments import get_deploy_client

from tests.control import HttpGateway, control_plane
from tests.servers import wait_until
from tests.unit.deployments.examples import FakeVersions, key

BAD = 5


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bad = frozenset({key(BAD)})
    with control_plane(tmp_path_factory.mktemp("home"), FakeVersions()) as url, HttpGateway("g1", url, bad=bad):
        yield url


@pytest.fixture
def sdk(control: str) -> WorkspaceClient:
    return WorkspaceClient(host=control, token="anything", auth_type="pat")


def entity(version: int | str) -> ServedEntityInput:
    return ServedEntityInput(
        entity_name="spam", entity_version=str(version), workload_size="Small", scale_to_zero_enabled=False
    )


def test_the_sdk_creates_moves_queries_and_deletes(sdk: WorkspaceClient) -> None:
    config = EndpointCoreConfigInput(name="mail", served_entities=[entity(1)])
    created = sdk.serving_endpoints.create_and_wait("mail", config=config, tags=[EndpointTag("team", "a")])
    assert created.state is not None
    assert created.state.ready is EndpointStateReady.READY
    assert created.config is not None
    assert created.config.config_version == 1
    assert [one.name for one in sdk.serving_endpoints.list()] == ["mail"]

    moved = sdk.serving_endpoints.update_config_and_wait(
        "mail",
        served_entities=[entity(2), entity(1)],
        traffic_config=TrafficConfig(
            routes=[Route(100, served_model_name="spam-2"), Route(0, served_model_name="spam-1")]
        ),
    )
    assert moved.config is not None
    assert moved.config.config_version == 2
    answer = sdk.serving_endpoints.query("mail", dataframe_records=[{"x": 1}])
    assert answer.predictions == ["spam/2"]

    tags = sdk.serving_endpoints.patch("mail", add_tags=[EndpointTag("b", "2")], delete_tags=["team"])
    assert tags.tags == [EndpointTag("b", "2")]
    with pytest.raises(ResourceAlreadyExists):
        sdk.serving_endpoints.create("mail", config=config)
    sdk.serving_endpoints.delete("mail")
    with pytest.raises(NotFound):
        sdk.serving_endpoints.get("mail")


def test_the_sdk_sees_a_failed_update_and_what_still_serves(sdk: WorkspaceClient) -> None:
    sdk.serving_endpoints.create_and_wait(
        "brave", config=EndpointCoreConfigInput(name="brave", served_entities=[entity(1)])
    )
    with pytest.raises(Exception, match="failed to reach NOT_UPDATING"):
        sdk.serving_endpoints.update_config_and_wait("brave", served_entities=[entity(BAD)])

    found = sdk.serving_endpoints.get("brave")
    assert found.state is not None
    assert (found.state.config_update, found.state.ready) == (
        EndpointStateConfigUpdate.UPDATE_FAILED,
        EndpointStateReady.READY,
    )
    assert found.pending_config is not None
    assert found.pending_config.served_entities is not None
    state = found.pending_config.served_entities[0].state
    assert state is not None
    assert state.deployment_state_message == "spam/5 failed to load: it has no weights."


def test_mlflow_deployments_creates_queries_and_deletes(control: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", control)
    monkeypatch.setenv("DATABRICKS_TOKEN", "anything")
    client = get_deploy_client("databricks")

    def is_done() -> bool:
        return bool(client.get_endpoint("deployed")["state"]["config_update"] == "NOT_UPDATING")

    served = {"entity_name": "spam", "entity_version": "3", "workload_size": "Small", "scale_to_zero_enabled": True}
    created = client.create_endpoint(config={"name": "deployed", "config": {"served_entities": [served]}})
    assert created.name == "deployed"
    wait_until(is_done, "the endpoint has moved")
    assert "deployed" in [one["name"] for one in client.list_endpoints()]
    assert client.predict(endpoint="deployed", inputs={"dataframe_records": [{"x": 1}]}).predictions == ["spam/3"]
    client.update_endpoint_tags("deployed", config={"add_tags": [{"key": "a", "value": "1"}]})
    client.update_endpoint_config("deployed", config={"served_entities": [{**served, "entity_version": "4"}]})
    wait_until(is_done, "the endpoint has moved")
    assert client.predict(endpoint="deployed", inputs={"inputs": [1]}).predictions == ["spam/4"]
    client.delete_endpoint("deployed")
    assert "deployed" not in [one["name"] for one in client.list_endpoints()]
