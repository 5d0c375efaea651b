"""The quickstart's parts: what it reads, and how it counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from servery.cli.quickstart.corpus import OWN, read_corpus
from servery.cli.quickstart.load import Counts, Load
from servery.cli.quickstart.training import accuracy, train_better, train_first
from servery.clock import SystemClock
from servery.errors import InvalidInput
from tests.servers import free_port

ROWS = [("spam", f"win prize {n}, now") for n in range(20)] + [("ham", f"lunch at {n}?") for n in range(30)]


def test_the_own_corpus_is_large_and_a_third_is_spam() -> None:
    lines = OWN.read_text(encoding="utf-8").splitlines()
    labels = Counter(line.split("\t")[0] for line in lines)
    assert len(lines) > 400
    assert len({line.split("\t")[1] for line in lines}) == len(lines)
    assert 0.3 < labels["spam"] / len(lines) < 0.4


def test_the_second_filter_is_better_than_the_first() -> None:
    corpus = read_corpus()
    first, better = train_first(corpus), train_better(corpus)
    assert accuracy(first, corpus.examine) + 0.05 < accuracy(better, corpus.examine)


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("tabs", "\n".join(f"{label}\t{text}" for label, text in ROWS), ("ham", "spam")),
        ("csv", "\n".join(f'{label},"{text}"' for label, text in ROWS), ("ham", "spam")),
        ("header", "text,label\n" + "\n".join(f'"{text}",{label}' for label, text in ROWS), ("ham", "spam")),
        ("more columns", "v1,v2,,,\n" + "\n".join(f'{label},"{text}",,,' for label, text in ROWS), ("ham", "spam")),
        ("numbers", "\n".join(f"{int(label == 'spam')}\t{text}" for label, text in ROWS), ("ham", "spam")),
        ("own labels", "\n".join(f"{label}x\t{text}" for label, text in ROWS), ("hamx", "spamx")),
    ],
)
def test_every_form_of_data_is_read(tmp_path: Path, name: str, text: str, labels: tuple[str, str]) -> None:
    path = tmp_path / "messages"
    path.write_text(text, encoding="utf-8")
    corpus = read_corpus(path)
    assert corpus.labels == labels
    assert sorted(message.text for message in corpus.learn + corpus.examine) == sorted(text for _, text in ROWS)


def test_a_line_without_a_tab_goes_on_with_the_message_before(tmp_path: Path) -> None:
    lines = [f"{label}\t{text}" for label, text in ROWS]
    path = tmp_path / "messages.tsv"
    path.write_text("\n".join([*lines[:7], "though not\u2028always", *lines[7:]]), encoding="utf-8")
    corpus = read_corpus(path)
    texts = [message.text for message in corpus.learn + corpus.examine]
    assert "win prize 6, now\nthough not\u2028always" in texts
    assert len(texts) == len(ROWS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [line.replace("\t", " ") for line in lines], "line 21, got 'ham lunch at 0"),
        (lambda lines: [*lines[:16], "spam\t", *lines[16:]], "line 17"),
        (lambda lines: [*lines, "eggs\tand bacon"], r"'eggs' \(line 51\)"),
        (lambda lines: [line for line in lines if line.startswith("ham")], "exactly two labels"),
        (lambda lines: lines[:3] + lines[-3:], "40 messages or more"),
        (lambda lines: [], "empty file"),
    ],
)
def test_what_is_wrong_with_the_data_is_named(
    tmp_path: Path, change: Callable[[list[str]], list[str]], words: str
) -> None:
    path = tmp_path / "messages.tsv"
    path.write_text("\n".join(change([f"{label}\t{text}" for label, text in ROWS])), encoding="utf-8")
    with pytest.raises(InvalidInput, match=words):
        read_corpus(path)


async def _run(load: Load) -> Counts:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    return await load.run(2, stop)


async def _counts(answer: bytes) -> Counts:
    """What a load counts on a server that gives every request this answer and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await _run(Load(f"http://127.0.0.1:{port}/x", ["hi"], ["spam", "ham"], SystemClock()))


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        ("503 Unavailable", b'{"message":"later"}', "status 503"),
        ("200 OK", b'{"predictions":["eggs"]}', "an answer of another shape"),
        ("200 OK", b'{"predictions":[]}', "an answer of another shape"),
        ("200 OK", b"<html>", "an answer of another shape"),
    ],
)
def test_the_load_counts_every_wrong_answer(status: str, body: bytes, failure: str) -> None:
    counts = asyncio.run(_counts(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body))
    assert counts.failures[failure] == counts.requests > 0


def test_the_load_counts_right_answers_by_version() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Model-Version: spam/7\r\nContent-Length: 24\r\n\r\n"
    counts = asyncio.run(_counts(head + b'{"predictions":["spam"]}'))
    assert counts.versions == ["spam/7"]
    assert len(counts.latencies_ms) == sum(bucket.total() for bucket in counts.answers) > 0


def test_the_load_counts_connections_that_break() -> None:
    assert asyncio.run(_counts(b"HTTP/1.1 200 OK\r\nContent-Le")).failures.total() > 0


def test_the_load_counts_a_server_that_is_not_there() -> None:
    load = Load(f"http://127.0.0.1:{free_port()}/x", ["hi"], ["spam"], SystemClock())
    assert asyncio.run(_run(load)).failures.total() > 0
