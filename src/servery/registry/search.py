"""The language of searches: ``name LIKE 'spam%' AND tags.team = 'mail'``, ordered by ``name DESC``.

    filter     = clause { "AND" clause }
    clause     = field comparator string
    field      = word | ("tag" | "tags") "." (word | quoted)
    comparator = "=" | "!=" | "LIKE" | "ILIKE"
    string     = quoted by ' or "; a quote is written twice inside its own kind
    quoted     = by `, ' or "
    order      = field ["ASC" | "DESC"]

It is MLflow's (``mlflow/utils/search_utils.py``). This module reads text and knows no table.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from servery.errors import InvalidInput

FILTER_LENGTH_MAX = 10_000
CLAUSES_MAX = 50
OFFSET_MAX = 10_000_000

_TOKEN = re.compile(
    r"(?P<quoted>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]+`)|(?P<word>[\w.\-/]+)|(?P<operator>!=|=)|(?P<space>\s+)"
)
_TAG_PREFIXES = ("tag.", "tags.")


class Comparator(Enum):
    """How a field is compared; LIKE minds the case and ILIKE does not, ``%`` stands for any text, ``_`` for one."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LIKE = "LIKE"
    ILIKE = "ILIKE"


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison. ``is_tag`` says that ``field`` is the key of a tag."""

    field: str
    is_tag: bool
    comparator: Comparator
    value: str


@dataclass(frozen=True, slots=True)
class Order:
    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parse_filter(text: str | None, *, fields: frozenset[str]) -> tuple[Clause, ...]:
    """The clauses, all of which must hold; none for an empty text.

    Raises:
        InvalidInput: it is not in the language, or names another field than ``fields``.
    """
    if text is None or not text.strip():
        return ()
    if len(text) > FILTER_LENGTH_MAX:
        raise InvalidInput("filter", expected=f"at most {FILTER_LENGTH_MAX} characters", got=f"{len(text)}")
    tokens = _Tokens(list(_lex(text)))
    clauses = [_clause(tokens, fields)]
    while not tokens.at_end():
        tokens.take_and()
        clauses.append(_clause(tokens, fields))
        if len(clauses) > CLAUSES_MAX:
            raise InvalidInput("filter", expected=f"at most {CLAUSES_MAX} comparisons", got="more")
    return tuple(clauses)


def parse_order_by(items: Sequence[str], *, fields: frozenset[str]) -> tuple[Order, ...]:
    """Raises InvalidInput for an unknown or repeated field, or for what is neither ASC nor DESC."""
    orders: list[Order] = []
    for item in items:
        field, *direction = item.replace("`", "").split()[:3] or [""]
        word = " ".join(direction).upper()
        if field not in fields or word not in {"", "ASC", "DESC"}:
            expected = f"one of {', '.join(sorted(fields))}, with ASC or DESC"
            raise InvalidInput("order_by", expected=expected, got=item)
        if any(order.field == field for order in orders):
            raise InvalidInput("order_by", expected="each field once", got=item)
        orders.append(Order(field, word == "DESC"))
    return tuple(orders)


def encode_page_token(offset: int) -> str:
    return base64.urlsafe_b64encode(f"offset:{offset}".encode()).decode()


def decode_page_token(token: str | None) -> int:
    """The offset of the page's first record. Raises InvalidInput for a token that we did not give."""
    if not token:
        return 0
    try:
        word, _, offset = base64.urlsafe_b64decode(token.encode("ascii")).decode("ascii").partition(":")
    except (ValueError, binascii.Error):
        word, offset = "", ""
    if word != "offset" or not offset.isdecimal() or int(offset[:9]) > OFFSET_MAX or len(offset) > 8:
        raise InvalidInput("page_token", expected="the next_page_token of an earlier answer", got=token)
    return int(offset)


class _Tokens:
    """The tokens of a filter, taken one after the other."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def take(self, *kinds: str, expected: str) -> _Token:
        token = None if self.at_end() else self._tokens[self._next]
        if token is None or token.kind not in kinds:
            raise InvalidInput("filter", expected=expected, got="its end" if token is None else token.text)
        self._next += 1
        return token

    def take_and(self) -> None:
        token = self.take("word", expected="AND between two comparisons")
        if token.text.upper() != "AND":
            raise InvalidInput("filter", expected="AND between two comparisons", got=token.text)


def _lex(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise InvalidInput("filter", expected="fields, comparators and quoted strings", got=text[position:])
        if match.lastgroup != "space":
            yield _Token(match.lastgroup, match.group())
        position = match.end()


def _clause(tokens: _Tokens, fields: frozenset[str]) -> Clause:
    field, is_tag = _field(tokens, fields)
    comparators = ", ".join(comparator.value for comparator in Comparator)
    token = tokens.take("operator", "word", expected=f"one of {comparators}")
    try:
        comparator = Comparator(token.text.upper())
    except ValueError:
        raise InvalidInput("filter", expected=f"one of {comparators}", got=token.text) from None
    value = tokens.take("quoted", expected="a quoted string")
    if value.text[0] == "`":
        raise InvalidInput("filter", expected="a string in ' or \"", got=value.text)
    return Clause(field, is_tag, comparator, _unquote(value.text))


def _field(tokens: _Tokens, fields: frozenset[str]) -> tuple[str, bool]:
    expected = f"one of {', '.join(sorted(fields))} or tags.<key>"
    token = tokens.take("word", "quoted", expected=expected)
    if token.kind == "word" and token.text.lower() in _TAG_PREFIXES:
        return _unquote(tokens.take("quoted", expected="the tag's key").text), True
    prefix, dot, key = token.text.partition(".")
    if token.kind == "word" and dot and f"{prefix.lower()}." in _TAG_PREFIXES:
        return key, True
    field = _unquote(token.text) if token.text[0] == "`" else token.text
    if field not in fields:
        raise InvalidInput("filter", expected=expected, got=field)
    return field, False


def _unquote(text: str) -> str:
    quote = text[0]
    return text[1:-1] if quote == "`" else text[1:-1].replace(quote * 2, quote)
