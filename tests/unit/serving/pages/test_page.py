"""An endpoint's page: what it shows, and that nothing of a model's runs in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re

import pytest

from servery.routing import PoolState
from servery.serving.pages.description import Description
from servery.serving.pages.endpoint import Endpoint, ServedVersion
from servery.serving.pages.page import ROWS_MAX, page, page_headers
from servery.serving.pages.pages import prefers_html
from servery.serving.pages.summary import summary
from servery_worker.schema import Column, ColumnType, Param, Signature, Tensor

HOSTILE = '</textarea><script>alert("1")</script>'
PRICE = Description(
    "sklearn",
    Signature(
        (Column(ColumnType.DOUBLE, "size"), Column(ColumnType.STRING, HOSTILE, required=False)),
        (Column(ColumnType.DOUBLE, HOSTILE),),
        (Param(HOSTILE, ColumnType.STRING, HOSTILE),),
    ),
    {"dataframe_split": {"columns": ["size", HOSTILE], "data": [[17.5, HOSTILE]]}},
    {"predictions": [{HOSTILE: HOSTILE}]},
    (HOSTILE,),
)
IMAGE = Description("onnx", Signature((Tensor("uint8", (-1, 28, 28)),)))


def served(*known: Description | None, state: PoolState = PoolState.READY, stage: str = "") -> Endpoint:
    share = 100 // len(known)
    return Endpoint(
        "spam",
        True,
        False,
        tuple(ServedVersion(f"spam/{i}", share, state, stage, one) for i, one in enumerate(known, 1)),
    )


def text(endpoint: Endpoint) -> str:
    return page(endpoint).decode()


def body_to_try(endpoint: Endpoint) -> object:
    [found] = re.findall(r"<textarea[^>]*>(.*?)</textarea>", text(endpoint), re.DOTALL)
    return json.loads(html.unescape(found))


def test_inputs_params_outputs_and_versions_are_in_tables() -> None:
    made = text(served(PRICE))
    assert "<tr><td>size</td><td>double</td><td>yes</td><td>17.5</td></tr>" in made
    assert f"<tr><td>{html.escape(HOSTILE)}</td><td>string</td><td>no</td>" in made
    assert "<tr><td>spam/1</td><td>100 %</td><td>ready</td></tr>" in made


def test_text_of_a_model_is_escaped_wherever_it_stands() -> None:
    made = text(served(PRICE, IMAGE))
    assert HOSTILE not in made
    assert made.count("<script>") == made.count("</script>") == made.count("</textarea>") == 1


def test_the_policy_allows_the_page_s_own_style_and_script_and_nothing_else() -> None:
    made, policy = text(served(PRICE)), page_headers().decode()
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", made, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"(src|href)=\"(https?:)?//", made)


def test_the_form_is_filled_with_the_input_example() -> None:
    assert body_to_try(served(PRICE)) == PRICE.request


def test_the_form_is_filled_from_the_signature_where_there_is_no_example() -> None:
    columns = Signature((Column(ColumnType.LONG, "size"), Column(ColumnType.STRING, "city")))
    assert body_to_try(served(Description("sklearn", columns))) == {
        "dataframe_split": {"columns": ["size", "city"], "data": [[0, "text"]]}
    }


def test_no_large_request_is_made_up() -> None:
    assert body_to_try(served(Description("onnx", Signature((Tensor("float32", (-1, 3, 224, 224)),))))) == {}


def test_a_version_that_is_loading_is_shown_as_such() -> None:
    made = text(served(None, state=PoolState.LOADING, stage="fetching the package"))
    assert "loading: fetching the package" in made
    assert "Nothing is known of them." in made


def test_what_another_version_takes_is_shown_where_it_differs() -> None:
    assert "<summary>spam/2</summary>" in text(served(PRICE, IMAGE))
    assert "<summary>" not in text(served(PRICE, PRICE))


def test_of_very_many_inputs_the_rest_is_counted() -> None:
    columns = tuple(Column(ColumnType.DOUBLE, f"x{i}") for i in range(ROWS_MAX + 7))
    assert "And 7 more." in text(served(Description("sklearn", Signature(columns))))


def test_the_summary_has_the_same_as_plain_values() -> None:
    told = summary(served(PRICE))
    assert told["inputs"][0] == {"name": "size", "type": "double", "required": True}
    assert told["versions"] == [{"version": "spam/1", "percent": 100, "state": "ready", "stage": ""}]
    assert told["example"] == PRICE.request


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", False),
        (b"*/*", False),
        (b"application/json", False),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        (b"application/json, text/html;q=0.5", False),
        (b"TEXT/HTML", True),
        (b"text/html;q=0, */*", False),
    ],
)
def test_a_browser_gets_html_and_others_json(accept: bytes, expected: bool) -> None:
    assert prefers_html(accept) is expected
