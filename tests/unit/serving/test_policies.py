"""The gateway's pure policies, by tables."""

from __future__ import annotations

from random import Random
from typing import cast

import pytest

from servery.errors import InvalidInput, UnsupportedMediaType
from servery.names import Digest, EndpointName, ModelName, Version
from servery.routing import PoolKey, PoolState, Route, Share, pick, pool_key
from servery.serving.admission import media_type_of, nan_options_of, timeout_seconds_of
from servery.serving.answers import coerced_names
from servery.serving.batcher import BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, close_batch
from servery.serving.targets import Choice, Target, routes_to_take
from servery_worker.wire import MediaType, Options


@pytest.mark.parametrize(
    ("body_bytes", "batchable", "count"),
    [
        pytest.param([100], True, 1, id="a lone request goes at once"),
        pytest.param([100] * 32, True, 32, id="all that waits goes together"),
        pytest.param([100] * 1000, True, BATCH_REQUESTS_MAX, id="up to the limit of requests"),
        pytest.param([BATCH_BYTES_MAX // 2] * 3, True, 2, id="up to the limit of bytes"),
        pytest.param([BATCH_BYTES_MAX + 1, 1], True, 1, id="one that is larger than the limit goes alone"),
        pytest.param([1, BATCH_BYTES_MAX + 1], True, 1, id="a large one waits for the next batch"),
        pytest.param([100] * 32, False, 1, id="a version that predicts each alone gets one at a time"),
    ],
)
def test_a_batch_is_closed_by_its_limits(body_bytes: list[int], batchable: bool, count: int) -> None:
    assert close_batch(body_bytes, batchable=batchable) == count


A, B = PoolKey("spam/1-a"), PoolKey("spam/2-b")


def route(*pools: PoolKey) -> Route:
    return Route(EndpointName("spam"), tuple(Share(pool, 100 // len(pools)) for pool in pools))


@pytest.mark.parametrize(
    ("wanted", "current", "states", "taken"),
    [
        pytest.param([route(A)], [], {A: PoolState.LOADING}, [route(A)], id="a first route is taken at once"),
        pytest.param(
            [route(B)], [route(A)], {A: PoolState.READY, B: PoolState.LOADING}, [route(A)], id="the old one stays"
        ),
        pytest.param(
            [route(B)], [route(A)], {A: PoolState.READY, B: PoolState.READY}, [route(B)], id="until the new is ready"
        ),
        pytest.param(
            [route(B)], [route(A)], {A: PoolState.READY, B: PoolState.FAILED}, [route(A)], id="a failed one never is"
        ),
        pytest.param(
            [route(A, B)],
            [route(A)],
            {A: PoolState.READY, B: PoolState.LOADING},
            [route(A)],
            id="a split is taken when every pool of it is ready",
        ),
        pytest.param([], [route(A)], {A: PoolState.READY}, [], id="an endpoint that is no longer wanted goes"),
    ],
)
def test_a_route_is_taken_when_its_pools_are_ready(
    wanted: list[Route], current: list[Route], states: dict[PoolKey, PoolState], taken: list[Route]
) -> None:
    def by_name(routes: list[Route]) -> dict[str, Route]:
        return {one.endpoint: one for one in routes}

    assert routes_to_take(by_name(wanted), by_name(current), states) == by_name(taken)


@pytest.mark.parametrize(
    ("percents", "draw", "index"),
    [
        ((90, 10), 0.0, 0),
        ((90, 10), 0.8999, 0),
        ((90, 10), 0.9001, 1),
        ((90, 10), 0.9999999, 1),
        ((0, 100), 0.0, 1),
        ((100, 0), 0.9999999, 0),
    ],
)
def test_a_request_goes_to_a_version_by_its_percentage(percents: tuple[int, int], draw: float, index: int) -> None:
    split = Route(EndpointName("spam"), (Share(A, percents[0]), Share(B, percents[1])))
    assert pick(split, draw) == (A, B)[index]


def test_a_pool_is_named_for_its_version_and_digest() -> None:
    assert pool_key(ModelName("spam"), Version(3), Digest("0f" * 32)) == "spam/3-0f0f0f0f0f0f0f0f"


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        (b"application/json", MediaType.JSON),
        (b"Application/JSON; charset=utf-8", MediaType.JSON),
        (b'application/json;charset="UTF-8"', MediaType.JSON),
        (b"text/csv", MediaType.CSV),
        (b"text/csv; charset=utf8", MediaType.CSV),
        (b"application/vnd.apache.parquet", MediaType.PARQUET),
        (b"application/vnd.apache.arrow.stream", MediaType.ARROW),
        (b"application/vnd.apache.arrow.file", MediaType.ARROW),
    ],
)
def test_json_csv_and_tables_are_taken(content_type: bytes, media_type: MediaType) -> None:
    assert media_type_of(content_type) is media_type


@pytest.mark.parametrize(
    "content_type",
    [None, b"", b"text/plain", b"application/x-pickle", b"application/json; charset=latin-1", b"text/csv; header=x"],
)
def test_any_other_content_type_is_refused(content_type: bytes | None) -> None:
    with pytest.raises(UnsupportedMediaType, match="takes text/csv, application/json, application/vnd"):
        media_type_of(content_type)


def test_a_caller_names_its_own_deadline() -> None:
    assert timeout_seconds_of(b"1500", default_seconds=60) == 1.5
    assert timeout_seconds_of(None, default_seconds=60) == 60


@pytest.mark.parametrize("value", [b"", b"0", b"-1", b"1.5", b"soon", b"9" * 400])
def test_a_deadline_that_is_no_number_of_milliseconds_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidInput, match="X-Request-Timeout-Ms"):
        timeout_seconds_of(value, default_seconds=60)


def test_bare_nan_is_written_where_it_is_asked_for() -> None:
    assert nan_options_of(b"bare") is Options.BARE_NAN


@pytest.mark.parametrize("value", [b"", b"Bare", b"null", b"yes"])
def test_no_other_way_to_write_nan_is_known(value: bytes) -> None:
    with pytest.raises(InvalidInput, match="X-Servery-Nan"):
        nan_options_of(value)


@pytest.mark.parametrize(("strict", "options"), [(False, Options(0)), (True, Options.STRICT)])
def test_every_request_of_a_strict_endpoint_is_strict(strict: bool, options: Options) -> None:
    pool = PoolKey("spam/1-0f3c")
    route = Route(EndpointName("mail"), (Share(pool, 100),), strict)
    assert Target(route, {pool: cast("Choice", None)}, Random()).options == options


def test_coerced_names_are_safe_in_a_header_whatever_a_model_calls_its_columns() -> None:
    assert coerced_names(("x", "a, b", "größe", "line\r\nbreak", "\ud800")) == (
        b"x, a%2C%20b, gr%C3%B6%C3%9Fe, line%0D%0Abreak, %3F"
    )
    assert coerced_names(("x" * 1000,)) == b"x" * 100
