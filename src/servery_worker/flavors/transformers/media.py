"""Images and sounds as callers send them: base64, bytes, a file's name, an address, or a sound as numbers."""

from __future__ import annotations

import base64
import os
from typing import Any
from urllib.parse import urlsplit

_SHOWN_MAX = 20


def images(data: Any) -> Any:
    """An image or a list of images; a text is base64, a file or an address."""
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return [_image(next(iter(row.values()))) for row in data]
    return _image(data)


def _image(value: Any) -> Any:
    if isinstance(value, str) and not _is_base64(value):
        _check_place(value)
    return value


def sounds(data: Any) -> Any:
    """A sound or a list of sounds; the list of one that enforcement makes of a sound is that sound."""
    if not isinstance(data, list):
        return _sound(data)
    found = [_sound(next(iter(row.values())) if isinstance(row, dict) else row) for row in data]
    return found if len(found) > 1 else found[0]


def _sound(value: Any) -> Any:
    import numpy as np

    if isinstance(value, str):
        _check_place(value)
        return value
    if isinstance(value, bytes):
        return base64.b64decode(value) if _is_base64(value) else value
    if isinstance(value, np.ndarray):
        return value
    expected = "expected to be bytes, an array of numbers, a file's name or an address"
    raise TypeError(f"A sound is {expected}; it is a {type(value).__name__}.")


def _is_base64(value: str | bytes) -> bool:
    """Is it what encoding its decoded bytes gives again, in one line or, for text, in lines of 76?"""
    try:
        decoded = base64.b64decode(value)
    except ValueError:
        return False
    if isinstance(value, bytes):
        return base64.b64encode(decoded) == value
    return value in (base64.b64encode(decoded).decode(), base64.encodebytes(decoded).decode())


def _check_place(value: str) -> None:
    try:
        parts = urlsplit(value)
        is_address = bool(parts.scheme and parts.netloc)
    except ValueError:
        is_address = False
    if not is_address and not os.path.isfile(value):
        shown = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
        raise ValueError(f"The text is expected to be base64, a file or an address; it is {shown!r}.")
