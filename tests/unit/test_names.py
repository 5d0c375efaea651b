"""Names, parsed once at the edge."""

from __future__ import annotations

import pytest

from servery.errors import InvalidInput
from servery.names import (
    ModelUri,
    UriKind,
    parse_alias,
    parse_digest,
    parse_endpoint_name,
    parse_model_name,
    parse_model_uri,
    parse_version,
)


@pytest.mark.parametrize("name", ["spam", "Spam filter", "équipe.modèle-2", "m" * 256])
def test_a_model_name_may_hold_what_mlflow_allows(name: str) -> None:
    assert parse_model_name(name) == name


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", "m" * 257, "a\nb", "a\0b", ".", "..", None, 3])
def test_any_other_model_name_is_refused(name: object) -> None:
    with pytest.raises(InvalidInput, match="'name'"):
        parse_model_name(name)


@pytest.mark.parametrize(("text", "version"), [("3", 3), (3, 3), ("007", 7)])
def test_a_version_is_a_positive_integer(text: object, version: int) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "", "one", None, True, 1.0, "9" * 19, "٣"])
def test_any_other_version_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput, match="positive integer"):
        parse_version(text)


@pytest.mark.parametrize("alias", ["champion", "a", "A-b_9", "version1"])
def test_an_alias_is_letters_digits_underscores_and_dashes(alias: str) -> None:
    assert parse_alias(alias) == alias


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v3", "V12", "a b", "a/b", "a@b", "a" * 256, None])
def test_an_alias_that_could_be_a_version_is_refused(alias: object) -> None:
    with pytest.raises(InvalidInput, match="'alias'"):
        parse_alias(alias)


@pytest.mark.parametrize("name", ["", "-spam", "a/b", "a b", "a" * 64, "naïve", None])
def test_an_endpoint_name_fits_into_a_path(name: object) -> None:
    with pytest.raises(InvalidInput):
        parse_endpoint_name(name)
    assert parse_endpoint_name("spam-2.eu") == "spam-2.eu"


@pytest.mark.parametrize("digest", ["", "0f", "0F" * 32, "0g" * 32, "0f" * 33])
def test_a_digest_is_64_lower_case_hexadecimal_digits(digest: str) -> None:
    with pytest.raises(InvalidInput):
        parse_digest(digest)
    assert parse_digest("0f" * 32) == "0f" * 32


@pytest.mark.parametrize(
    ("text", "kind", "rest"),
    [
        ("models:/spam/3", UriKind.VERSION, ("spam", 3, None)),
        ("models:/spam@champion", UriKind.ALIAS, ("spam", None, "champion")),
        ("models:/my model@a-b", UriKind.ALIAS, ("my model", None, "a-b")),
        ("spam-model", UriKind.FOLDER, (None, None, None)),
        ("/srv/models/spam", UriKind.FOLDER, (None, None, None)),
        ("./a:b", UriKind.FOLDER, (None, None, None)),
    ],
)
def test_a_model_uri_names_a_folder_a_version_or_an_alias(text: str, kind: UriKind, rest: tuple[object, ...]) -> None:
    uri = parse_model_uri(text)
    assert (uri.kind, (uri.name, uri.version, uri.alias)) == (kind, rest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/m-0f3a", ModelUri("models:/m-0f3a", UriKind.LOGGED_MODEL, model_id="m-0f3a")),
        ("runs:/0f3a/a/model", ModelUri("runs:/0f3a/a/model", UriKind.RUN, run_id="0f3a", path="a/model")),
        ("mlflow-artifacts:/1/x/", ModelUri("mlflow-artifacts:/1/x/", UriKind.ARTIFACTS, path="1/x")),
        (
            "mlflow-artifacts://host:80/1/x",
            ModelUri("mlflow-artifacts://host:80/1/x", UriKind.ARTIFACTS, path="1/x", authority="host:80"),
        ),
        ("s3://bucket/a/b", ModelUri("s3://bucket/a/b", UriKind.OBJECT_STORE, path="a/b")),
        ("abfss://c@a.example/b", ModelUri("abfss://c@a.example/b", UriKind.OBJECT_STORE, path="b")),
        ("file:///srv/my%20model", ModelUri("file:///srv/my%20model", UriKind.FOLDER, folder="/srv/my model")),
    ],
)
def test_a_model_uri_leads_to_other_places_too(text: str, expected: ModelUri) -> None:
    assert parse_model_uri(text) == expected


def test_a_secret_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_model_uri("s3://key:secret@bucket/a")
    assert "secret" not in str(raised.value)


_CLIMBING = ["runs:/a/../b", "runs:/../b", "mlflow-artifacts:/a/../../b", "s3://b/../c", "s3://b/a//c", "runs:/a/b\\c"]
_LESS = ["runs:/", "runs:/a", "mlflow-artifacts:/", "s3://bucket", "s3:///a", "models:/m-", "file://host/a", "file:a"]


@pytest.mark.parametrize(
    "text",
    [
        "models:/spam",
        "models:/spam/x",
        "models:/a/b/3",
        "models:/@a",
        "models:/spam@v3",
        "http://x/y",
        "s3:x",
        "",
        *_CLIMBING,
        *_LESS,
    ],
)
def test_any_other_model_uri_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_model_uri(text)
