"""An endpoint's page for people: one HTML document that loads nothing and runs no script but its own.

All text that comes from a model is escaped, and the Content-Security-Policy names the page's own style and script by
their hashes, so that even markup that got through would not run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from servery.serving.pages.endpoint import Endpoint
from servery.serving.pages.examples import first_row, request_to_try
from servery.serving.pages.summary import summary

ROWS_MAX = 500
"""More inputs or outputs are counted, not shown."""
_VALUE_LENGTH_MAX = 80
_INNERMOST = re.compile(r"\[\n *([^\[\]{}]*?)\n *\]")
"""A list without lists and objects, over several lines; a line break is never part of a JSON text's values."""


class _Parts(NamedTuple):
    """The page's own files."""

    template: Template
    style: str
    script: str
    policy: bytes


@cache
def _parts() -> _Parts:
    folder = Path(__file__).parent
    template, style, script = (folder.joinpath(f"page.{kind}").read_text() for kind in ("html", "css", "js"))
    policy = (
        f"default-src 'none'; style-src {_hash_of(style)}; script-src {_hash_of(script)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return _Parts(Template(template), style, script, policy.encode())


def page_headers() -> bytes:
    """Header lines that go with the page."""
    return (
        b"Content-Security-Policy: %b\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
        % _parts().policy
    )


def page(endpoint: Endpoint) -> bytes:
    """The page, in UTF-8."""
    said, parts = summary(endpoint), _parts()
    values = {
        "name": escape(endpoint.name),
        "about": escape(said["about"]),
        "path": escape(endpoint.invocations),
        "openapi": escape(said["openapi"]),
        "versions": _table(("Version", "Share", "State"), [_version(one) for one in said["versions"]]),
        "takes": _takes(said, first_row(said["example"])),
        "others": "\n".join(_other(one) for one in said["versions"][1:] if "inputs" in one),
        "request": escape(_pretty(request_to_try(endpoint.main))),
        "recorded": "" if said["answer"] is None else _recorded(said["answer"]),
        "style": parts.style,
        "script": parts.script,
    }
    return parts.template.substitute(values).encode("utf-8", "replace")


def _takes(said: dict[str, Any], example: dict[str, Any]) -> str:
    """Inputs, params and outputs of a version; ``example`` has a value for some of the inputs."""
    params = [[param["name"], param["type"], _short(param["default"])] for param in said["params"]]
    parts = [
        _section("Inputs", _inputs(said["inputs"], example)),
        _section("Params", _table(("Name", "Type", "Default"), params)) if params else "",
        _section("Outputs", _outputs(said["outputs"])),
    ]
    return "\n".join(part for part in parts if part)


def _other(version: dict[str, Any]) -> str:
    """What a version takes that is not like the first one."""
    return f"<details><summary>{escape(version['version'])}</summary>\n{_takes(version, {})}\n</details>"


def _hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _version(version: dict[str, Any]) -> list[str]:
    state = f"{version['state']}: {version['stage']}" if version["stage"] else version["state"]
    return [version["version"], f"{version['percent']} %", state]


def _inputs(specs: list[dict[str, Any]] | None, example: dict[str, Any]) -> str:
    heads = ("Name", "Type", "Required", "Example") if example else ("Name", "Type", "Required")
    rows = [
        [
            _name(spec),
            spec["type"],
            "yes" if spec["required"] else "no",
            *([_short(example[spec["name"]]) if spec["name"] in example else ""] if example else []),
        ]
        for spec in (specs or [])[:ROWS_MAX]
    ]
    return _known(specs, heads, rows)


def _outputs(specs: list[dict[str, Any]] | None) -> str:
    return _known(specs, ("Name", "Type"), [[_name(spec), spec["type"]] for spec in (specs or [])[:ROWS_MAX]])


def _known(specs: list[dict[str, Any]] | None, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table of ``specs``, or that there is nothing to say."""
    if specs is None:
        return '<p class="quiet">Nothing is known of them.</p>'
    more = f"<p>And {len(specs) - ROWS_MAX} more.</p>" if len(specs) > ROWS_MAX else ""
    return _table(heads, rows) + more


def _name(spec: dict[str, Any]) -> str:
    return "(no name)" if spec["name"] is None else str(spec["name"])


def _recorded(answer: Any) -> str:
    text = escape(_pretty(answer))
    return f'<h3>The answer to the example, as recorded</h3>\n<pre tabindex="0">{text}</pre>'


def _section(title: str, content: str) -> str:
    return f'<section aria-label="{title}">\n<h2>{title}</h2>\n{content}\n</section>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _pretty(value: Any) -> str:
    """JSON for people: a list of plain values stays on one line."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _VALUE_LENGTH_MAX:
        return text
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _INNERMOST.sub(lambda match: "[" + re.sub(r"\n *", " ", match[1]) + "]", text)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_LENGTH_MAX else f"{text[: _VALUE_LENGTH_MAX - 1]}…"
