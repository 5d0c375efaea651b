"""The server's JSON, read."""

from __future__ import annotations

from servery.client.records import Update, read_endpoint, read_model, read_version


def test_a_version_in_mlflows_form() -> None:
    fields = {"name": "spam", "version": "3", "tags": [{"key": "a", "value": "b"}], "creation_timestamp": 5}
    version = read_version(fields)
    assert (version.version, version.tags, version.created_at_ms, version.digest) == (3, {"a": "b"}, 5, None)
    assert version.uri == "models:/spam/3"


def test_a_version_in_serverys_form() -> None:
    files = [
        {"path": "MLmodel", "sha256": "0" * 64, "size_bytes": 4},
        {"path": "m", "sha256": "1" * 64, "size_bytes": 5},
    ]
    fields = {"name": "spam", "version": "3", "digest": "d", "tags": {"a": "b"}, "aliases": ["x"], "files": files}
    version = read_version(fields)
    assert (version.digest, version.aliases, version.size_bytes, version.tags) == ("d", ("x",), 9, {"a": "b"})


def test_a_model_with_aliases() -> None:
    versions = [{"version": "2"}, {"version": "10"}]
    model = read_model(
        {"name": "spam", "latest_versions": versions, "aliases": [{"alias": "champion", "version": "2"}]}
    )
    assert (model.latest_version, model.aliases) == (10, {"champion": 2})


def test_an_endpoint_with_shares_and_what_it_moves_to() -> None:
    entities: list[dict[str, object]] = [
        {"name": "a", "entity_name": "spam", "entity_version": "1", "min_provisioned_concurrency": 2},
        {"name": "b", "entity_name": "spam", "entity_version": "2", "entity_alias": "champion"},
    ]
    routes = [
        {"served_entity_name": "a", "traffic_percentage": 90},
        {"served_entity_name": "b", "traffic_percentage": 10},
    ]
    fields = {
        "name": "spam",
        "state": {"ready": "READY", "config_update": "UPDATE_FAILED"},
        "config": {"served_entities": entities, "traffic_config": {"routes": routes}, "config_version": 4},
        "pending_config": {"served_entities": [{**entities[1], "entity_version": "@champion"}]},
        "failure": "it did not load.",
    }
    endpoint = read_endpoint(fields)
    assert [(entity.uri, entity.percent, entity.replicas) for entity in endpoint.entities] == [
        ("models:/spam/1", 90, 2),
        ("models:/spam/2", 10, 1),
    ]
    assert [(entity.uri, entity.version) for entity in endpoint.pending] == [("models:/spam@champion", None)]
    assert (endpoint.ready, endpoint.update, endpoint.failure) == (True, Update.FAILED, "it did not load.")
