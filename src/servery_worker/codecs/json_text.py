"""JSON text to plain objects and back, by orjson where the model's environment has it."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import json
import math
import re
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

_LONG_INTEGER = re.compile(rb"(?<![\d.])\d{19}")


class Unencodable(ValueError):
    """An answer that has no form in JSON."""


def load_json(body: bytes | memoryview) -> Any:
    """The value written in ``body``.

    Python's own reader has the last word: it also takes the bare ``NaN`` and ``Infinity`` that MLflow's clients send.

    Raises:
        ValueError: it is not JSON.
    """
    orjson = _orjson()
    if orjson is not None:
        try:
            return orjson.loads(body)
        except ValueError:
            pass
    return load_json_exactly(body)


def load_json_exactly(body: bytes | memoryview) -> Any:
    """As ``load_json``, by Python's own reader: it takes integers of any size, and orjson makes floats of them."""
    try:
        return json.loads(bytes(body))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def has_long_integer(body: bytes | memoryview) -> bool:
    """May there be an integer beyond 64 bits?"""
    return _LONG_INTEGER.search(body) is not None


def dump_json(value: Any) -> bytes:
    """``value`` as JSON text: non-finite floats and missing values as null, bytes in base64, times in ISO 8601.

    Raises:
        Unencodable: something in it has no form in JSON.
    """
    return json_writer()(value)


def dump_bare(value: Any) -> bytes:
    """As ``dump_json``, with NaN and the infinities as the bare words that MLflow writes, which are not JSON."""
    return _dumped(value, bare=True)


@cache
def json_writer() -> Callable[[Any], bytes]:
    """``dump_json`` with the choice of the library made, for the hot path."""
    orjson = _orjson()
    if orjson is None:
        return _dump_plainly
    dumps, option = orjson.dumps, orjson.OPT_NON_STR_KEYS

    def dump(value: Any) -> bytes:
        try:
            return dumps(value, _replace, option)  # type: ignore[no-any-return]
        except TypeError:  # Integers beyond 64 bits, lone surrogates: Python's writer has forms for them.
            return _dump_plainly(value)

    return dump


@cache
def _orjson() -> Any:
    try:
        import orjson
    except ImportError:
        return None
    return orjson


def _dump_plainly(value: Any) -> bytes:
    return _dumped(value, bare=False)


def _dumped(value: Any, *, bare: bool) -> bytes:
    try:
        return json.dumps(_plain(value, bare), allow_nan=bare, separators=(",", ":")).encode()
    except RecursionError:
        raise Unencodable("it contains itself or is nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise Unencodable(str(error)) from None


def _plain(value: Any, bare: bool) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if bare or math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): _plain(item, bare) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, bare) for item in value]
    return _plain(_replace(value), bare)


def _key(key: Any) -> Any:
    """A key that Python's writer takes, for one that orjson takes and it does not."""
    if isinstance(key, enum.Enum):
        return _key(key.value)
    if isinstance(key, (datetime.datetime, datetime.date, datetime.time)):
        return key.isoformat()
    if isinstance(key, uuid.UUID):
        return str(key)
    return key.item() if hasattr(key, "item") else key


def _replace(value: Any) -> Any:
    """What stands in JSON for a value that JSON has no form for.

    Raises:
        TypeError: nothing does.
    """
    import numpy as np

    if isinstance(value, np.ndarray):
        return array_items(value)
    if isinstance(value, np.datetime64):
        return _iso(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bytes, bytearray)):
        return base64.encodebytes(value).decode("ascii")
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return None if str(value) == "NaT" else value.isoformat()
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump()
    return _replace_rare(value)


def _replace_rare(value: Any) -> Any:
    if type(value).__name__ == "NAType":
        return None
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def array_items(array: Any) -> Any:
    """A numpy array as nested lists; dates as ISO text, which ``tolist`` would make nanoseconds of."""
    if array.dtype.kind != "M":
        return array.tolist()
    if array.ndim == 0:
        return _iso(array[()])
    return [array_items(item) if isinstance(item, type(array)) else _iso(item) for item in array]


def _iso(moment: Any) -> Any:
    import numpy as np

    if np.isnat(moment):
        return None
    coarse = moment.astype("datetime64[us]")
    # What is finer than microseconds, which most readers stop at, is written where there is any.
    return np.datetime_as_string(coarse if coarse == moment else moment).removesuffix(".000000")
