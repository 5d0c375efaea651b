"""What may be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from servery.deployments.config import EntityRequest, parse_entities, pinned, resolve
from servery.errors import InvalidInput, NotFound
from servery.names import ModelName
from tests.unit.deployments.examples import CHAMPION, SPAM, FakeVersions, request


def test_one_entity_gets_all_requests_and_a_name() -> None:
    (entity,) = parse_entities([request("3")], None)

    assert (entity.name, entity.version, entity.alias, entity.replicas, entity.percent) == ("spam-3", 3, None, 1, 100)


def test_an_alias_is_written_with_an_at_sign() -> None:
    (entity,) = parse_entities([request("@champion")], None)

    assert (entity.name, entity.version, entity.alias) == ("spam-champion", None, CHAMPION)


def test_a_name_has_only_what_the_api_allows() -> None:
    (entity,) = parse_entities([EntityRequest(model="spam filter.v2", version=1)], None)

    assert entity.name == "spam-filter-v2-1"


def test_an_entity_that_no_route_names_gets_nothing() -> None:
    entities = parse_entities([request(1), request(2)], {"spam-1": 100})

    assert [entity.percent for entity in entities] == [100, 0]


@pytest.mark.parametrize(
    ("field", "requests", "percents"),
    [
        ("served_entities", [], None),
        ("served_entities", [request(1)] * 11, None),
        ("served_entities", [request(1), request(1)], {"spam-1": 100}),
        ("served_entities[0].entity_name", [EntityRequest(model=None, version=1)], None),
        ("served_entities[1].entity_version", [request(1), request("three")], {"spam-1": 100}),
        ("served_entities[0].entity_version", [request(0)], None),
        ("served_entities[0].entity_version", [request("@v1")], None),
        ("served_entities[0].name", [request(1, name="a b")], None),
        ("served_entities[0].min_provisioned_concurrency", [request(1, replicas=0)], None),
        ("served_entities[0].min_provisioned_concurrency", [request(1, replicas=65)], None),
        ("traffic_config", [request(1), request(2)], None),
        ("traffic_config.routes.served_entity_name", [request(1)], {"spam-2": 100}),
        ("traffic_config.routes.traffic_percentage", [request(1), request(2)], {"spam-1": 50, "spam-2": 49}),
        ("traffic_config.routes.traffic_percentage", [request(1), request(2)], {"spam-1": 101, "spam-2": -1}),
        ("traffic_config.routes.traffic_percentage", [request(1)], {}),
    ],
)
def test_what_is_refused_is_named(field: str, requests: list[EntityRequest], percents: dict[str, Any] | None) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_entities(requests, percents)

    assert refusal.value.field == field


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="spam/9"):
        resolve(parse_entities([request(9)], None), FakeVersions(), revision=1)
    with pytest.raises(NotFound, match="ham"):
        resolve(parse_entities([EntityRequest(ModelName("ham"), 1)], None), FakeVersions(), revision=1)
    with pytest.raises(NotFound, match="challenger"):
        resolve(parse_entities([request("@challenger")], None), FakeVersions(), revision=1)


def test_a_pinned_config_no_longer_follows_its_alias() -> None:
    resolved = resolve(parse_entities([request("@champion")], None), FakeVersions(), revision=1)

    assert [(one.model, one.wanted) for one in pinned(resolved)] == [(SPAM, 1)]
