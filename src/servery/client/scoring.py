"""From Python data to the body of a scoring request: MLflow's JSON forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servery.errors import InvalidInput

FORMS = frozenset({"dataframe_split", "dataframe_records", "instances", "inputs"})
"""The keys of which a JSON body has exactly one."""
_CHAT_KEYS = frozenset({"messages", "prompt", "input"})


def encode_request(data: Any, params: Mapping[str, Any] | None = None) -> bytes:
    """The JSON body for ``data``.

    A frame becomes ``dataframe_split``; an array, a list, a series or one text ``inputs``; a mapping that is a
    body already is sent as it is, any other mapping becomes ``inputs`` (a name to each array).

    Raises:
        InvalidInput: the data has no JSON form.
    """
    import orjson

    body = _body_of(data)
    if params is not None:
        body = {**body, "params": dict(params)}
    try:
        return orjson.dumps(body, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError) as error:
        raise InvalidInput("data", expected="data that can be written as JSON", got=str(error)) from None


def _body_of(data: Any) -> dict[str, Any]:
    if isinstance(data, Mapping):
        whole = FORMS & data.keys() or _CHAT_KEYS & data.keys()
        return dict(data) if whole else {"inputs": dict(data)}
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        split = data.to_dict(orient="split")
        return {"dataframe_split": {"columns": split["columns"], "data": split["data"]}}
    if isinstance(data, str | bytes | int | float | bool):
        return {"inputs": [data]}
    if isinstance(data, list | tuple):
        return {"inputs": list(data)}
    if hasattr(data, "tolist"):
        return {"inputs": data.tolist()}
    raise InvalidInput("data", expected="a frame, an array, a list or a mapping", got=type(data).__name__)


def _plain(value: Any) -> Any:
    """What orjson does not write by itself: bytes, numpy scalars, pandas' times and missing values, sets."""
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    for method in ("isoformat", "tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"a value of type {type(value).__name__}")
