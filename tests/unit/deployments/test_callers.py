"""What needs a word: a version in the place of one whose callers cannot call it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servery.deployments.callers import refuse_incompatible, refuse_incompatible_alias
from servery.deployments.config import Target
from servery.deployments.state import Endpoint, Failure, Phase
from servery.errors import Incompatible, NotFound
from servery.names import Alias, Version
from tests.unit.deployments.examples import CHAMPION, SPAM, FakeVersions, asked, endpoint, served, target

VERSIONS = FakeVersions(incompatible={(1, 2), (1, 3), (2, 1)})


@pytest.mark.parametrize(
    ("before", "wanted", "is_refused"),
    [
        pytest.param(endpoint(active=target(1)), target(2), True, id="callers of 1 cannot call 2"),
        pytest.param(endpoint(active=target(2)), target(3), False, id="callers of 2 can call 3"),
        pytest.param(endpoint(active=target(1)), target(1), False, id="the same version"),
        pytest.param(endpoint(), target(2), False, id="it has never served"),
        pytest.param(
            endpoint(active=target(1)),
            target(served(1), served(2, percent=0)),
            False,
            id="no request would go to it",
        ),
        pytest.param(
            endpoint(active=target(1)), target(served(1, percent=99), served(2, percent=1)), True, id="one in a hundred"
        ),
        pytest.param(
            endpoint(active=target(served(3), served(1, percent=0))), target(2), False, id="nobody calls that of before"
        ),
        pytest.param(
            endpoint(active=target(served(1, percent=50), served(2, percent=50))),
            target(2),
            False,
            id="it gets requests already",
        ),
        pytest.param(
            endpoint(Phase.SWITCHING, active=target(4), to=target(1)), target(2), True, id="callers reach the new one"
        ),
        pytest.param(
            endpoint(Phase.LOADING, active=target(4), to=target(1)), target(2), False, id="callers do not reach it yet"
        ),
        pytest.param(
            endpoint(Phase.FAILED, active=target(1), to=target(5), failure=Failure("bad")), target(2), True, id="failed"
        ),
    ],
)
def test_a_version_needs_a_word_where_callers_of_one_that_serves_cannot_call_it(
    before: Endpoint, wanted: Target, is_refused: bool
) -> None:
    if is_refused:
        with pytest.raises(Incompatible):
            refuse_incompatible(before, wanted.entities, VERSIONS)
    else:
        refuse_incompatible(before, wanted.entities, VERSIONS)


def test_the_refusal_says_who_cannot_call_what_and_why_and_how_to_insist() -> None:
    with pytest.raises(Incompatible) as refused:
        refuse_incompatible(endpoint(active=target(1)), target(2).entities, VERSIONS)
    assert refused.value.message == (
        "Callers of spam/1 at endpoint 'mail' cannot call spam/2: Input column 'x' is gone; "
        "insist with --allow-incompatible (allow_incompatible in a request)."
    )


def test_of_many_problems_the_first_are_named() -> None:
    problems = [f"Input column {name!r} is gone." for name in "abcde"]
    error = Incompatible("mail", old="spam/1", new="spam/2", problems=problems, insist="a word")
    assert "Input column 'a' is gone; Input column 'b' is gone; Input column 'c' is gone; and 2 more;" in error.message


@pytest.mark.parametrize(
    ("alias", "version", "is_refused"),
    [(CHAMPION, 2, True), (CHAMPION, 4, False), (CHAMPION, 1, False), (Alias("challenger"), 2, False)],
)
def test_an_alias_that_endpoints_follow_needs_the_same_word(alias: Alias, version: int, is_refused: bool) -> None:
    following = endpoint(active=target(1))
    pinned = replace(endpoint(active=target(1), name="pinned"), entities=(asked(1),))
    if is_refused:
        with pytest.raises(Incompatible, match=r"'mail' .*'servery models alias spam champion 2 --allow-incompatible'"):
            refuse_incompatible_alias([pinned, following], SPAM, alias, Version(version), VERSIONS)
    else:
        refuse_incompatible_alias([pinned, following], SPAM, alias, Version(version), VERSIONS)


def test_an_alias_of_a_version_that_is_not_there_is_told_as_ever() -> None:
    with pytest.raises(NotFound):
        refuse_incompatible_alias([endpoint(active=target(1))], SPAM, CHAMPION, Version(99), VERSIONS)
