"""Every route declares who may call it (rule 6), and there is no route besides the declared ones."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route as StarletteRoute
from starlette.testclient import TestClient

from servery.api.app import ROUTES, create_app
from servery.api.routes import Access, Route
from servery.api.services import Services


async def _handler(_services: Services, _request: Request) -> Response:
    return PlainTextResponse("here")


def test_a_route_without_access_keeps_the_server_from_starting(services: Services) -> None:
    with pytest.raises(RuntimeError, match="GET /open does not declare who may call it"):
        create_app(services, (*ROUTES, Route("GET", "/open", _handler)))


def test_a_route_that_is_declared_twice_keeps_the_server_from_starting(services: Services) -> None:
    route = Route("GET", "/twice", _handler, Access.PUBLIC)

    with pytest.raises(RuntimeError, match="declared twice"):
        create_app(services, (route, route))


def test_the_application_has_the_declared_routes_and_no_other(services: Services) -> None:
    served: set[tuple[str, str]] = set()
    for route in create_app(services).routes:
        assert isinstance(route, StarletteRoute)
        served |= {(method, route.path) for method in route.methods or () if method != "HEAD"}

    assert served == {(route.method, route.path) for route in ROUTES}


def test_only_probes_are_public() -> None:
    assert {route.path for route in ROUTES if route.access is Access.PUBLIC} == {
        "/health",
        "/livez",
        "/readyz",
        "/version",
    }


CHANGES = [route for route in ROUTES if route.method != "GET" and not route.path.endswith("get-latest-versions")]


def test_what_changes_something_needs_more_than_to_view() -> None:
    assert {route.access for route in CHANGES} & {Access.PUBLIC, Access.VIEW} == set()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.nip.io:8400"},
        {"Host": "10.evil.example"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example:8400"},
        {"Origin": "http://127.0.0.1:8888"},
        {"Origin": "http://localhost:8400"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_the_page_of_another_site_changes_nothing(client: TestClient, headers: dict[str, str]) -> None:
    for route in CHANGES:
        path = route.path.replace(":path", "").replace("{", "").replace("}", "")

        answer = client.request(route.method, path, headers=headers, json={"name": "spam"})

        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED"), route


@pytest.mark.parametrize("host", ["127.0.0.1:8400", "localhost:8400", "[::1]:8400", "LOCALHOST"])
def test_this_machine_s_own_names_are_served(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200
    same_origin = {"Host": host, "Origin": f"http://{host}"}
    answer = client.post("/api/2.0/mlflow/registered-models/create", headers=same_origin, json={"name": "spam"})
    assert answer.status_code == 200


def test_a_read_by_a_foreign_host_is_refused_too(client: TestClient) -> None:
    assert client.get("/version", headers={"Host": "evil.example"}).status_code == 403
