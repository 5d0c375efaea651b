"""Bodies and answers in a content coding, by stock clients, against a running server."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from backports import zstd

from tests.models import echo_body, is_echo
from tests.servers import Server, serving

CODINGS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
    "zstd": (zstd.compress, zstd.decompress),
}
MANY = json.dumps({"inputs": [[nonce, 0] for nonce in range(50_000)]}).encode()


@pytest.fixture(scope="module")
def server(echo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("codings") / "home"
    with serving(echo_folder, home, settings={"body_bytes_max": 1 << 20}) as running:
        yield running


def ask(server: Server, body: bytes, **headers: str) -> tuple[httpx.Response, bytes]:
    """The answer's head, and its body as it came."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"Content-Type": "application/json", "Accept-Encoding": "identity"} | named
    with httpx.stream("POST", f"{server.url}/invocations", content=body, headers=named, timeout=60) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize("coding", list(CODINGS))
def test_a_body_is_taken_in_every_coding_small_and_large(coding: str, server: Server) -> None:
    code, _ = CODINGS[coding]
    answer, body = ask(server, code(json.dumps(echo_body(3)).encode()), Content_Encoding=coding)
    assert is_echo(3, json.loads(body)["predictions"])
    answer, body = ask(server, code(MANY), Content_Encoding=coding)
    assert answer.status_code == 200
    assert len(json.loads(body)["predictions"]) == 50_000


@pytest.mark.parametrize("coding", list(CODINGS))
def test_a_large_answer_comes_in_the_coding_that_is_asked_for(coding: str, server: Server) -> None:
    _, decode = CODINGS[coding]
    plain, expected = ask(server, MANY)
    answer, body = ask(server, MANY, Accept_Encoding=coding)
    assert (plain.headers.get("content-encoding"), plain.headers["vary"]) == (None, "Accept-Encoding")
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == (coding, "Accept-Encoding")
    assert len(body) == int(answer.headers["content-length"]) < len(expected) / 2
    assert decode(body) == expected


def test_a_small_answer_is_sent_as_it_is_unless_its_caller_does_not_take_that(server: Server) -> None:
    body = json.dumps(echo_body(3)).encode()
    answer, _ = ask(server, body, Accept_Encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers
    answer, coded = ask(server, body, Accept_Encoding="gzip, identity;q=0")
    assert answer.headers["content-encoding"] == "gzip"
    assert is_echo(3, json.loads(gzip.decompress(coded))["predictions"])
    refused, _ = ask(server, body, Accept_Encoding="identity;q=0")
    assert refused.status_code == 406


def test_a_connection_goes_on_after_every_kind_of_body(server: Server) -> None:
    with httpx.Client(base_url=server.url, headers={"Content-Type": "application/json"}, timeout=60) as client:
        bomb = gzip.compress(bytes(8 << 20))
        for body, coding, status in [
            (b"no gzip", "gzip", 400),
            (bomb, "gzip", 413),
            (gzip.compress(bomb), "gzip, gzip", 413),
            (gzip.compress(MANY)[:-1], "gzip", 400),
            (gzip.compress(b"{"), "gzip", 400),
            (zstd.compress(gzip.compress(MANY)), "gzip, zstd", 200),
            (b"x", "br", 415),
            (MANY, "identity", 200),
        ]:
            answer = client.post("/invocations", content=body, headers={"Content-Encoding": coding})
            assert answer.status_code == status, answer.text
            assert status == 200 or answer.json()["message"].endswith(".")


def test_a_page_is_coded_too(server: Server) -> None:
    answer = httpx.get(f"{server.url}/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "servery_requests" in answer.text
