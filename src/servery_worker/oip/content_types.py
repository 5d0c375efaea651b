"""MLServer's content types: what a caller says that its tensors stand for, beyond their datatypes.

Said in ``parameters.content_type``, of the request or of an input. Source: MLServer's "Content Types (and Codecs)".
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from enum import Enum
from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.conversions import describe
from servery_worker.oip.messages import Datatype, InferTensor, Parameters


class ContentType(str, Enum):
    ARRAY = "np"
    FRAME = "pd"
    """Of a request: each input is a column."""
    TEXT = "str"
    BASE64 = "base64"
    DATETIME = "datetime"


def content_type_of(where: str, parameters: Parameters) -> ContentType | None:
    """What the parameters say; raises BadBody where that is none of them."""
    given = parameters.get("content_type")
    if given is None:
        return None
    try:
        return ContentType(given)
    except ValueError:
        known = ", ".join(f"'{known.value}'" for known in ContentType)
        raise BadBody(f"{where}: expected one of {known} as 'content_type', got {describe(given)}.") from None


def of_input(tensor: InferTensor, default: ContentType | None) -> ContentType | None:
    """An input's own content type, or else that of its request, ``default``, where it can be of such a one.

    Raises:
        BadBody: its own is unknown, or none for an input, or for a tensor of BYTES alone.
    """
    where = f"Input {tensor.name!r}"
    own = content_type_of(where, tensor.parameters)
    if own is ContentType.FRAME:
        raise BadBody(f"{where}: the content_type 'pd' is one of a request, whose inputs are then columns.")
    is_bytes = tensor.datatype is Datatype.BYTES
    if own in _CELLS and not is_bytes:
        raise BadBody(f"{where}: expected BYTES for the content_type, got {tensor.datatype.value}.")
    return own or (default if is_bytes or default not in _CELLS else None)


def cells_of(tensor: InferTensor, kind: ContentType | None) -> list[Any]:
    """The cells of a tensor of BYTES, in row-major order: text, bytes or None, or moments for "datetime".

    Raises:
        BadBody: a cell is not what its content type says.
    """
    cells: list[Any] = tensor.data.ravel().tolist()
    convert = _CELLS.get(kind) if kind is not None else None
    if convert is None:
        return cells
    made = []
    for place, cell in enumerate(cells):
        try:
            made.append(None if cell is None else convert(cell))
        except (ValueError, OverflowError):
            where = f"Input {tensor.name!r}"
            raise BadBody(f"{where}: expected {_WANTED[kind]}, got {describe(cell)} at place {place}.") from None
    return made


def text_of(cell: Any) -> Any:
    """A cell of BYTES as text; raises UnicodeDecodeError, a ValueError, where it is none."""
    return str(cell, "utf-8") if isinstance(cell, bytes) else cell


def _from_base64(cell: Any) -> bytes:
    packed = cell.encode("ascii") if isinstance(cell, str) else cell
    # Lines are as MIME has them; whatever else is no base64 is refused, not left out.
    return base64.b64decode(b"".join(packed.split()), validate=True)


def _moment(cell: Any) -> Any:
    import pandas as pd

    return pd.Timestamp(text_of(cell))


_CELLS: dict[Any, Callable[[Any], Any]] = {
    ContentType.TEXT: text_of,
    ContentType.BASE64: _from_base64,
    ContentType.DATETIME: _moment,
}
_WANTED: dict[Any, str] = {
    ContentType.TEXT: "UTF-8 text",
    ContentType.BASE64: "base64",
    ContentType.DATETIME: "an ISO 8601 date and time",
}
