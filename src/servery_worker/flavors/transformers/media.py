"""Images and sounds as callers send them: base64, bytes, or a sound as numbers.

MLflow also takes a file's name and an address, and opens them. A caller would choose what this machine reads and whom
it asks, so they are refused here.
"""

from __future__ import annotations

import base64
import io
from typing import Any

_SHOWN_MAX = 20


def images(data: Any) -> Any:
    """An image or a list of images; a text is base64."""
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return [_image(next(iter(row.values()))) for row in data]
    return _image(data)


def _image(value: Any) -> Any:
    """A text is decoded here: the pipeline would take one that is a file's name, too, for that file."""
    if not isinstance(value, str):
        return value
    if not _is_base64(value):
        shown = value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…"
        raise ValueError(f"An image as text is expected to be base64; files and addresses are not opened: {shown!r}.")
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(value)))


def sounds(data: Any) -> Any:
    """A sound or a list of sounds; the list of one that enforcement makes of a sound is that sound."""
    if not isinstance(data, list):
        return _sound(data)
    found = [_sound(next(iter(row.values())) if isinstance(row, dict) else row) for row in data]
    return found if len(found) > 1 else found[0]


def _sound(value: Any) -> Any:
    import numpy as np

    if isinstance(value, bytes):
        return base64.b64decode(value) if _is_base64(value) else value
    if isinstance(value, np.ndarray):
        return value
    expected = "expected to be bytes or an array of numbers; files and addresses are not opened"
    raise TypeError(f"A sound is {expected}: it is a {type(value).__name__}.")


def _is_base64(value: str | bytes) -> bool:
    """Is it what encoding its decoded bytes gives again, in one line or, for text, in lines of 76?"""
    try:
        decoded = base64.b64decode(value)
    except ValueError:
        return False
    if isinstance(value, bytes):
        return base64.b64encode(decoded) == value
    return value in (base64.b64encode(decoded).decode(), base64.encodebytes(decoded).decode())
