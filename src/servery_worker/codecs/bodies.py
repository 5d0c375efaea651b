"""What a request's body is: one of MLflow's input forms, its value, and params. Structure only; no types yet."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from servery_worker.codecs.json_text import has_long_integer, load_json, load_json_exactly
from servery_worker.conversions import json_type
from servery_worker.schema import InvalidInput, Signature
from servery_worker.wire import MediaType


class BadBody(ValueError):
    """A body that cannot be understood; the message is one sentence for the caller."""


class LacksLibrary(BadBody):
    """What is asked needs a library that the model's environment has not."""


class Form(Enum):
    """The input forms of MLflow's scoring protocol, and one for all of the other protocol's."""

    SPLIT = "dataframe_split"
    RECORDS = "dataframe_records"
    INSTANCES = "instances"
    INPUTS = "inputs"
    LLM = "llm"
    """The whole object is the input (it has ``messages``, ``prompt`` or ``input``), and the answer is not wrapped."""
    CSV = "csv"
    PARQUET = "parquet"
    INFER = "infer"
    """The value is an ``oip.messages.InferRequest``."""
    ARROW = "arrow"


class Body(NamedTuple):
    form: Form
    value: Any
    params: Any = None
    text: bytes | memoryview = b""
    """The JSON text that it was read from."""


_FORMS = {form.value: form for form in (Form.SPLIT, Form.RECORDS, Form.INSTANCES, Form.INPUTS)}
_BINARY_FORMS: dict[int, Form] = {MediaType.PARQUET: Form.PARQUET, MediaType.ARROW: Form.ARROW}
_FIELDS = "'dataframe_split', 'dataframe_records', 'instances' or 'inputs'"


def read_body(media_type: int, body: bytes | memoryview, signature: Signature | None) -> Body:
    """Read a request's body.

    Raises:
        BadBody: it is no JSON object with exactly one input field, or no UTF-8 text where CSV was announced.
        InvalidInput: it has no ``inputs``, the only field of a model whose signature comes from a type hint.
    """
    if media_type != MediaType.JSON:
        form = _BINARY_FORMS.get(media_type)
        return Body(Form.CSV, _text(body)) if form is None else Body(form, body)
    try:
        value = load_json(body)
    except ValueError as error:
        raise BadBody(f"The body is not JSON: {error}.") from None
    return _read_object(value, signature, body)


def _text(body: bytes | memoryview) -> str:
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise BadBody(f"The body is not UTF-8 text: {error.reason} at byte {error.start}.") from None


def exactly(body: Body, signature: Signature | None) -> Body:
    """The same body, its integers beyond 64 bits as they were written; ``read_body`` may have made floats of them."""
    if not has_long_integer(body.text):
        return body
    return _read_object(load_json_exactly(body.text), signature, body.text)


def _read_object(value: Any, signature: Signature | None, text: bytes | memoryview) -> Body:
    if not isinstance(value, dict):
        raise BadBody(f"The body is expected to be a JSON object with {_FIELDS}; it is {json_type(value)}.")
    is_typed = signature is not None and signature.is_from_type_hint
    if len(value) == 1 and not is_typed:  # Most bodies: no params, nothing to tell apart.
        [(name, only)] = value.items()
        if name in _FORMS:
            return Body(_FORMS[name], only, None, text)
    if "messages" in value or "prompt" in value or "input" in value:
        return read_llm(value, signature, text)
    if is_typed:
        return _read_typed(value, text)
    forms = [name for name in value if name in _FORMS]
    if len(forms) != 1:
        found = ", ".join(f"'{name}'" for name in (forms or list(value)[:5])) or "none"
        raise BadBody(f"The body is expected to have exactly one of {_FIELDS}; found: {found}.")
    return Body(_FORMS[forms[0]], value[forms[0]], value.get("params"), text)


def _read_typed(value: Mapping[str, Any], text: bytes | memoryview) -> Body:
    if Form.INPUTS.value not in value:
        found = ", ".join(f"'{name}'" for name in list(value)[:5]) or "none"
        raise InvalidInput(f"The body is expected to have 'inputs', as the model's type hint asks; found: {found}.")
    return Body(Form.INPUTS, value[Form.INPUTS.value], value.get("params"), text)


def read_llm(value: Mapping[str, Any], signature: Signature | None, text: bytes | memoryview) -> Body:
    names = {param.name for param in (signature.params if signature else None) or ()}
    data = {name: item for name, item in value.items() if name not in names}
    params = {name: item for name, item in value.items() if name in names}
    return Body(Form.LLM, data, params, text)
