from __future__ import annotations

import pytest

from servery.errors import InvalidInput
from servery.registry.search import (
    Clause,
    Comparator,
    Order,
    decode_page_token,
    encode_page_token,
    parse_filter,
    parse_order_by,
)

FIELDS = frozenset({"name", "run_id"})


def test_clauses_are_joined_by_and_in_any_case() -> None:
    assert parse_filter("name='a' and run_id != \"b\" AND tags.`my key` ilike 'c%'", fields=FIELDS) == (
        Clause("name", False, Comparator.EQUAL, "a"),
        Clause("run_id", False, Comparator.NOT_EQUAL, "b"),
        Clause("my key", True, Comparator.ILIKE, "c%"),
    )


def test_a_tag_key_may_have_dots() -> None:
    assert parse_filter("tags.mlflow.source = 'x'", fields=FIELDS)[0].field == "mlflow.source"


def test_a_quote_is_written_twice_inside_its_own_kind() -> None:
    assert parse_filter("name = 'it''s \"so\"'", fields=FIELDS)[0].value == 'it\'s "so"'


def test_and_inside_a_string_is_text() -> None:
    assert parse_filter("name = 'a AND b'", fields=FIELDS)[0].value == "a AND b"


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name =",
        "name = spam",
        "name = 'spam",
        "name = `spam`",
        "name > 'spam'",
        "name = 'a' OR name = 'b'",
        "name = 'a' AND",
        "name = 'a' name = 'b'",
        "color = 'red'",
        "'name' = 'spam'",
        "tags = 'x'",
        "name = 'a'; DROP TABLE blobs",
        "(name = 'a')",
        " AND ".join(["name = 'a'"] * 51),
        "name = '" + "a" * 10_000 + "'",
    ],
)
def test_what_is_not_in_the_language_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="filter"):
        parse_filter(text, fields=FIELDS)


def test_an_order_has_a_direction() -> None:
    assert parse_order_by(["name DESC", "`run_id`"], fields=FIELDS) == (Order("name", True), Order("run_id", False))


@pytest.mark.parametrize("items", [["color"], ["name UP"], ["name ASC DESC"], [""], ["name", "name DESC"]])
def test_an_order_that_is_none_is_refused(items: list[str]) -> None:
    with pytest.raises(InvalidInput, match="order_by"):
        parse_order_by(items, fields=FIELDS)


def test_a_page_token_comes_back_as_its_offset() -> None:
    assert decode_page_token(encode_page_token(300)) == 300
    assert decode_page_token("") == 0


@pytest.mark.parametrize("token", ["x", "b2Zmc2V0Oi0x", "b2Zmc2V0OjEyMzQ1Njc4OTA=", "é", "Zm9vOjE="])
def test_a_foreign_page_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="page_token"):
        decode_page_token(token)
