from __future__ import annotations

from collections.abc import Callable

import pytest

from servery.errors import AlreadyExists, InvalidInput, NotFound
from servery.names import Alias, ModelName, Version
from servery.registry.service import Registry

SPAM, HAM = ModelName("spam"), ModelName("ham")
CHAMPION = Alias("champion")


def test_a_new_model_has_what_it_was_given_and_no_version(registry: Registry) -> None:
    created = registry.create_model(SPAM, description="Finds spam.", tags={"team": "mail"})

    assert registry.get_model(SPAM) == created
    assert (created.description, created.tags, created.latest) == ("Finds spam.", {"team": "mail"}, None)


def test_a_name_is_given_once(registry: Registry) -> None:
    registry.create_model(SPAM)

    with pytest.raises(AlreadyExists, match=r"Registered Model \(name=spam\) already exists"):
        registry.create_model(SPAM)


def test_an_unknown_model_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="Registered Model with name=spam not found"):
        registry.get_model(SPAM)


def test_a_renamed_model_keeps_versions_aliases_and_tags(registry: Registry, upload: Callable[..., str]) -> None:
    registry.create_model(SPAM, tags={"team": "mail"})
    registry.create_version(SPAM, upload())
    registry.set_alias(SPAM, CHAMPION, Version(1))

    renamed = registry.rename_model(SPAM, new_name=HAM)

    assert (renamed.tags, renamed.aliases) == ({"team": "mail"}, {CHAMPION: 1})
    assert registry.resolve(HAM, CHAMPION).version == 1
    with pytest.raises(NotFound):
        registry.get_model(SPAM)


def test_a_model_cannot_take_the_name_of_another(registry: Registry) -> None:
    registry.create_model(SPAM)
    registry.create_model(HAM)

    with pytest.raises(AlreadyExists):
        registry.rename_model(SPAM, new_name=HAM)


def test_a_deleted_model_is_gone_with_all_that_belongs_to_it(registry: Registry, upload: Callable[..., str]) -> None:
    registry.create_model(SPAM)
    registry.create_version(SPAM, upload(), tags={"seed": "1"})
    registry.set_alias(SPAM, CHAMPION, Version(1))

    registry.delete_model(SPAM)
    registry.create_model(SPAM)

    assert registry.get_model(SPAM).aliases == {}
    assert registry.search_versions("name = 'spam'").records == ()


def test_an_alias_moves(registry: Registry, upload: Callable[..., str]) -> None:
    registry.create_model(SPAM)
    registry.create_version(SPAM, upload())
    registry.create_version(SPAM, upload(weights=b"other"))
    registry.set_alias(SPAM, CHAMPION, Version(1))
    registry.set_alias(SPAM, CHAMPION, Version(2))

    assert registry.resolve_alias(SPAM, CHAMPION).version == 2
    assert registry.get_version(SPAM, Version(1)).aliases == ()


def test_an_alias_names_no_version_that_does_not_exist(registry: Registry) -> None:
    registry.create_model(SPAM)

    with pytest.raises(NotFound, match=r"Model Version \(name=spam, version=7\) not found"):
        registry.set_alias(SPAM, CHAMPION, Version(7))


def test_deleting_what_is_not_there_succeeds_for_aliases_and_tags(registry: Registry) -> None:
    registry.create_model(SPAM)

    registry.delete_alias(SPAM, CHAMPION)
    registry.delete_model_tag(SPAM, key="team")


def test_a_tag_is_replaced(registry: Registry) -> None:
    registry.create_model(SPAM, tags={"team": "mail"})
    registry.set_model_tag(SPAM, key="team", value="search")

    assert registry.get_model(SPAM).tags == {"team": "search"}


@pytest.mark.parametrize(
    "tags",
    [{"": "value"}, {"k" * 251: "value"}, {"key": "v" * 100_001}, {"key": "\0"}, {"key": "\ud800"}, {"a\nb": "c"}],
    ids=["no key", "long key", "long value", "NUL", "lone surrogate", "key with a line break"],
)
def test_a_tag_beyond_the_limits_is_refused(registry: Registry, tags: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        registry.create_model(SPAM, tags=tags)


SEARCHES = [
    ("", ["ham", "spam", "Spam-2"]),
    ("name = 'spam'", ["spam"]),
    ("name != 'spam'", ["ham", "Spam-2"]),
    ("name LIKE 'spam%'", ["spam"]),
    ("name ILIKE 'SPAM%'", ["spam", "Spam-2"]),
    ("name LIKE '_am'", ["ham"]),
    ("name LIKE '*am'", []),
    ("tags.team = 'mail'", ["spam", "Spam-2"]),
    ("tag.`team` = 'mail' AND name LIKE 'S%'", ["Spam-2"]),
    ("tags.\"team\" != 'mail'", []),
    ("tags.team LIKE 'ma%' and tags.tier ILIKE 'GOLD'", ["spam"]),
    ("name = 'it''s'", []),
    ("tags.`mlflow.prompt.is_prompt` != 'true'", ["ham", "spam", "Spam-2"]),
    ("tags.`mlflow.prompt.is_prompt` = 'true'", ["greeting"]),
]


@pytest.mark.parametrize(("text", "names"), SEARCHES, ids=[text or "everything" for text, _ in SEARCHES])
def test_a_search_finds(registry: Registry, text: str, names: list[str]) -> None:
    registry.create_model(SPAM, tags={"team": "mail", "tier": "gold"})
    registry.create_model(ModelName("Spam-2"), tags={"team": "mail"})
    registry.create_model(HAM)
    registry.create_model(ModelName("greeting"), tags={"mlflow.prompt.is_prompt": "true"})

    found = [record.name for record in registry.search_models(text).records]

    assert sorted(found) == sorted(names)


def test_pages_follow_each_other_to_the_end(registry: Registry) -> None:
    names = [f"model-{number}" for number in range(5)]
    for name in names:
        registry.create_model(ModelName(name))

    seen: list[str] = []
    token: str | None = None
    while token is not None or not seen:
        page = registry.search_models(max_results=2, page_token=token, order_by=["name DESC"])
        seen += [record.name for record in page.records]
        token = page.next_page_token

    assert seen == names[::-1]


@pytest.mark.parametrize("max_results", [0, -1, 1_001])
def test_a_page_has_bounds(registry: Registry, max_results: int) -> None:
    with pytest.raises(InvalidInput, match="max_results"):
        registry.search_models(max_results=max_results)
