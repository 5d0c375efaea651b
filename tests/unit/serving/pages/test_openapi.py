"""An endpoint's OpenAPI document: valid, whole, and true of what is known."""

from __future__ import annotations

import re
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from servery.routing import PoolState
from servery.serving import answers, http
from servery.serving.admission import SUPPORTED
from servery.serving.dialects import dialect
from servery.serving.negotiation import CONTENT_TYPES
from servery.serving.pages.description import Description
from servery.serving.pages.endpoint import Endpoint, ServedVersion
from servery.serving.pages.openapi import document
from servery_worker.schema import Column, ColumnType, Param, Signature, Tensor

PRICE = Description(
    "sklearn",
    Signature(
        (Column(ColumnType.DOUBLE, "size"), Column(ColumnType.STRING, "<script>$ref", required=False)),
        (Tensor("float64", (-1,)),),
        (Param("rate", ColumnType.DOUBLE, float("nan")),),
    ),
    {"dataframe_records": [{"size": 1.0, "<script>$ref": "Bern"}]},
    {"predictions": [2.0]},
)
IMAGE = Description("pytorch", Signature((Tensor("uint8", (-1, 28, -1)),), (Tensor("float32", (-1, 10)),)))
CHAT = Description("transformers", Signature((Column(ColumnType.STRING, "prompt"),), (Column(ColumnType.STRING),)))
NOTHING = Description("python_function")


def endpoint(*known: Description | None, is_sole: bool = False, state: PoolState = PoolState.READY) -> Endpoint:
    share = 100 // len(known)
    versions = [ServedVersion(f"spam/{i}", share, state, "", one) for i, one in enumerate(known, 1)]
    return Endpoint("spam", is_sole, False, tuple(versions))


def invocation(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["paths"]["/endpoints/spam/invocations"]["post"]
    return found


@pytest.mark.parametrize("known", [PRICE, IMAGE, CHAT, NOTHING, None], ids=["table", "array", "llm", "any", "loading"])
@pytest.mark.parametrize("is_sole", [True, False], ids=["sole", "one of many"])
def test_the_document_is_valid_openapi_3_1(known: Description | None, is_sole: bool) -> None:
    made = document(endpoint(known, is_sole=is_sole))
    assert made["openapi"].startswith("3.1")
    validate(made)


@pytest.mark.parametrize(("is_sole", "invocations"), [(True, 2), (False, 1)])
def test_the_bare_address_is_told_where_there_is_one_endpoint_only(is_sole: bool, invocations: int) -> None:
    paths = document(endpoint(PRICE, is_sole=is_sole))["paths"]
    assert ("/invocations" in paths, "/openapi.json" in paths) == (is_sole, is_sole)
    assert sum(path.endswith("/invocations") for path in paths) == invocations
    assert {"/endpoints/spam", "/endpoints/spam/openapi.json"} <= paths.keys()


def test_every_media_type_that_the_gateway_takes_is_told() -> None:
    assert set(invocation(document(endpoint(PRICE)))["requestBody"]["content"]) == set(SUPPORTED)


def test_every_media_type_that_it_answers_with_is_told_and_events_where_the_model_streams() -> None:
    known = endpoint(PRICE)
    answered = invocation(document(known))["responses"]["200"]["content"]
    assert set(answered) == {name.decode() for name in CONTENT_TYPES}
    streaming = replace(known, versions=(replace(known.versions[0], streams=True),))
    made = document(streaming)
    validate(made)
    assert "text/event-stream" in invocation(made)["responses"]["200"]["content"]
    asked = jsonschema.Draft202012Validator({**made, "$ref": "#/components/schemas/Request"})
    assert asked.is_valid({"dataframe_records": [{"size": 1.0}], "stream": True})


def test_names_are_quoted_in_paths() -> None:
    paths = document(replace(endpoint(PRICE), name="a {b}"))["paths"]
    assert {"/endpoints/a%20%7Bb%7D/invocations", "/v2/models/a%20%7Bb%7D/infer"} <= paths.keys()


def test_an_array_of_free_lengths_is_sent_as_json_only() -> None:
    assert set(invocation(document(endpoint(IMAGE)))["requestBody"]["content"]) == {"application/json"}


def test_every_status_that_the_gateway_answers_with_is_told() -> None:
    statuses = {status for status, _ in (*answers.OF_OUTCOME.values(), *answers.OF_ERROR.values())}
    statuses |= set(answers.OF_CODE.values())
    source = Path(http.__file__).read_text() + Path(dialect.__file__).read_text()
    statuses |= {HTTPStatus[name].value for name in re.findall(r"Refusal\(HTTPStatus\.(\w+)", source)}
    assert {int(status) for status in invocation(document(endpoint(PRICE)))["responses"]} == statuses


def test_every_header_that_a_caller_may_set_is_told() -> None:
    made = document(endpoint(PRICE))
    own = {name.decode() for name in http.WANTED if name.startswith(b"x-")}
    assert {name.lower() for name in made["components"]["parameters"]} == own


def test_the_examples_are_the_package_s_and_fit_their_schemas() -> None:
    made = document(endpoint(PRICE))
    operation = invocation(made)
    for name, media, example in (
        ("Request", operation["requestBody"]["content"], PRICE.request),
        ("Answer", operation["responses"]["200"]["content"], PRICE.answer),
    ):
        assert media["application/json"]["example"] == example
        jsonschema.Draft202012Validator({**made, "$ref": f"#/components/schemas/{name}"}).validate(example)


def test_the_answer_to_an_llm_body_is_not_wrapped() -> None:
    made = document(endpoint(CHAT))
    validator = jsonschema.Draft202012Validator({**made, "$ref": "#/components/schemas/Answer"})
    assert validator.is_valid({"choices": []})
    assert not jsonschema.Draft202012Validator(
        {**document(endpoint(PRICE)), "$ref": "#/components/schemas/Answer"}
    ).is_valid({"choices": []})


def test_of_versions_that_differ_the_first_says_what_is_taken_and_each_what_is_answered() -> None:
    made = document(endpoint(PRICE, IMAGE))
    assert "The versions take or give different things" in made["info"]["description"]
    assert "size" in str(made["components"]["schemas"]["Request-dataframe_records"])
    assert len(made["components"]["schemas"]["Answer"]["properties"]["predictions"]["anyOf"]) == 2


def test_versions_that_take_and_give_the_same_are_described_once() -> None:
    made = document(endpoint(PRICE, PRICE))
    assert "different" not in made["info"]["description"]
    assert "anyOf" not in made["components"]["schemas"]["Answer"]["properties"]["predictions"]


@pytest.mark.parametrize(
    ("known", "said"),
    [(None, "not known yet"), (NOTHING, "has no signature")],
)
def test_what_is_not_known_is_said_and_anything_is_allowed(known: Description | None, said: str) -> None:
    made = document(endpoint(known, state=PoolState.LOADING))
    assert said in made["info"]["description"]
    assert "spam/1 is loading" in made["info"]["description"]
    jsonschema.Draft202012Validator({**made, "$ref": "#/components/schemas/Request"}).validate({"inputs": [[1]]})
