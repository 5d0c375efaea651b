"""Labelled messages: Servery's own small corpus, or a file of the user's."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from servery.errors import InvalidInput

OWN = Path(__file__).with_name("messages.tsv")
_MESSAGES_MIN = 40
_LABEL_COLUMNS = ("label", "class", "category", "target", "v1")
_TEXT_COLUMNS = ("text", "message", "sms", "content", "v2")
_NUMBERED = {"1": "spam", "0": "ham"}
_SEED = 7


@dataclass(frozen=True, slots=True)
class Message:
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """Messages with two labels, shuffled: three quarters to learn from, one to be examined on."""

    learn: tuple[Message, ...]
    examine: tuple[Message, ...]
    labels: tuple[str, str]


def read_corpus(path: Path = OWN) -> Corpus:
    """Read lines of ``label<TAB>text``, or CSV with a label and a text, with or without a header.

    Raises:
        InvalidInput: the file cannot be read, or is none of these; names the line.
    """
    rows = _without_header(_rows(_decode(path)))
    messages = [_message(line, row) for line, row in rows]
    first_lines: dict[str, int] = {}
    for (line, _), message in zip(rows, messages, strict=True):
        first_lines.setdefault(message.label, line)
    if len(first_lines) != 2:
        found = ", ".join(f"'{label[:30]}' (line {line})" for label, line in list(first_lines.items())[:4])
        raise InvalidInput("--data", expected="exactly two labels", got=found or "an empty file")
    rarest = min(Counter(message.label for message in messages).values())
    if len(messages) < _MESSAGES_MIN or rarest < _MESSAGES_MIN // 4:
        expected = f"{_MESSAGES_MIN} messages or more, {_MESSAGES_MIN // 4} or more of each label"
        raise InvalidInput("--data", expected=expected, got=f"{len(messages)} and {rarest}")
    random.Random(_SEED).shuffle(messages)  # noqa: S311  The same split at each run; no secret.
    cut = len(messages) * 3 // 4
    first, second = sorted(first_lines)
    return Corpus(tuple(messages[:cut]), tuple(messages[cut:]), (first, second))


def _decode(path: Path) -> str:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidInput("--data", expected="a file that can be read", got=f"{path} ({error.strerror})") from None
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")  # Corpora of old text messages often are; every byte has a meaning in it.


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Each row's cells with the number of its line. Tabs or commas: the first line decides."""
    lines = text.replace("\r\n", "\n").split("\n")
    if "\t" in next((line for line in lines if line.strip()), ""):
        return _tabbed(lines)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InvalidInput("--data", expected="CSV", got=f"line {reader.line_num}: {error}") from None


def _tabbed(lines: list[str]) -> list[tuple[int, list[str]]]:
    """A line without a tab goes on with the message before it: exports of messages seldom quote their line breaks."""
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            rows.append((number, line.split("\t", 1)))
        elif rows and line.strip():
            rows[-1][1][1] += "\n" + line
    return rows


def _without_header(rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """The rows as (label, text): a header tells which column is which; without one the label comes first."""
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0][1]]
    label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    text = next((header.index(name) for name in _TEXT_COLUMNS if name in header), None)
    if label is None or text is None:
        return rows
    return [
        (line, [row[label], row[text]]) if len(row) > max(label, text) else (line, row[:1]) for line, row in rows[1:]
    ]


def _message(line: int, row: list[str]) -> Message:
    if len(row) < 2 or not row[0].strip() or not row[1].strip():
        raise InvalidInput("--data", expected=f"a label and a text in line {line}", got=",".join(row)[:80])
    label = row[0].strip()
    return Message(_NUMBERED.get(label, label), row[1].strip())
