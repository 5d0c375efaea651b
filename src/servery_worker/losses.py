"""Which values of a request were changed to fit the signature: the one place that says what a loss is.

MLflow casts what it is sent, even with loss: 1.5 is 1 for a long. The model is given the same here; this module
compares what was sent with what came of it. A number that is rounded to the precision of its type is no loss.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from servery_worker.codecs.bodies import Body, Form
from servery_worker.codecs.cells import columns_of
from servery_worker.conversions import describe, is_missing
from servery_worker.schema import Column, ColumnType, Specs, Tensor
from servery_worker.wire import COERCED_NAMES_MAX

_KINDS = {
    ColumnType.BOOLEAN: "b",
    ColumnType.INTEGER: "i",
    ColumnType.LONG: "i",
    ColumnType.FLOAT: "f",
    ColumnType.DOUBLE: "f",
    ColumnType.STRING: "U",
    ColumnType.BINARY: "S",
    ColumnType.DATETIME: "M",
}
"""numpy's letter for each scalar type."""
_BEYOND_NANOSECONDS = re.compile(r"\.\d{9}0*[1-9]")
_UNNAMED = "input"


class Loss(NamedTuple):
    """The first value of a column that was changed. ``name`` is "input" for the only tensor of a model."""

    name: str
    row: int
    value: Any
    wanted: str

    def __str__(self) -> str:
        where = f"Column {self.name!r}: {describe(self.value)} in row {self.row}"
        return f"{where} can only become {self.wanted} with loss, which is refused here."


def losses_of(body: Body, decoded: Any, data: Any, specs: Specs | None) -> list[Loss]:
    """The columns of which values were changed on the way from ``body`` to the model's input ``data``.

    ``decoded`` is what was read of the body, before it was held against the signature.
    """
    if not specs or body.form is Form.LLM:
        return []
    if isinstance(specs[0], Tensor):
        found = _of_tensors(body, decoded, data, specs)
    elif body.form is Form.CSV:
        found = _of_csv(body, data, specs)
    else:
        found = _of_columns(body, data, specs)
    return [loss for _, loss in zip(range(COERCED_NAMES_MAX), found)]


def _of_csv(body: Body, frame: Any, specs: Specs) -> Iterator[Loss]:
    """pandas reads no text as a number that it is not, but for numbers that are too large for a column of floats."""
    import numpy as np
    import pandas as pd

    narrow = [spec for spec in specs if isinstance(spec, Column) and spec.type is ColumnType.FLOAT]
    for spec in narrow:
        name = spec.name if spec.name is not None else frame.columns[specs.index(spec)]
        if name not in frame.columns or not np.isinf(frame[name]).any():
            continue
        texts = pd.read_csv(io.StringIO(body.value), dtype=str)[str(name)].tolist()
        for row, (text, value) in enumerate(zip(texts, frame[name].tolist())):
            if not _is_kept(text, value, "f"):
                yield Loss(str(name), row, text, spec.type.value)
                break


def _of_columns(body: Body, frame: Any, specs: Specs) -> Iterator[Loss]:
    sent = columns_of(body)
    for place, spec in enumerate(specs):
        if not isinstance(spec, Column) or spec.type is ColumnType.ANY:
            continue
        name = spec.name if spec.name is not None else frame.columns[place]
        if name not in frame.columns:
            continue
        cells = _sent_cells(body, sent, spec, place)
        given = frame[name].tolist()
        if len(cells) != len(given):
            continue
        entry = {"type": spec.type.value, **(spec.detail or {})}
        for row, (cell, value) in enumerate(zip(cells, given)):
            if not _is_kept_as(cell, value, entry):
                yield Loss(str(name), row, cell, spec.type.value)
                break


def _sent_cells(body: Body, sent: Any, spec: Column, place: int) -> Sequence[Any]:
    value = body.value
    if spec.name is None:
        columns = list(sent.values())
        return columns[place] if place < len(columns) else []
    if spec.name in sent:
        whole = isinstance(value, dict) and body.form is Form.INPUTS and spec.type is ColumnType.ARRAY
        return [value[spec.name]] if whole else sent[spec.name]
    return sent[0] if list(sent) == [0] else []  # The cells of the only column, sent without its name.


def _is_kept_as(cell: Any, value: Any, spec: Any) -> bool:
    """Is a cell of the type ``spec`` what was sent?"""
    kind = ColumnType(spec["type"])
    if kind in _KINDS:
        return _is_kept(cell, value, _KINDS[kind])
    if kind is ColumnType.ARRAY and isinstance(cell, list) and hasattr(value, "__len__"):
        return all(_is_kept_as(item, made, spec["items"]) for item, made in zip(cell, value))
    if isinstance(cell, dict) and isinstance(value, dict) and kind is not ColumnType.ANY:
        inner = spec.get("properties")
        return all(
            _is_kept_as(cell[name], made, inner[name] if inner is not None else spec["values"])
            for name, made in value.items()
            if name in cell
        )
    return True


def _of_tensors(body: Body, decoded: Any, data: Any, specs: Specs) -> Iterator[Loss]:
    for spec in specs:
        array = data[spec.name] if isinstance(data, dict) else data
        if array.dtype.kind in "Om":
            continue
        items = _items_of_table(decoded, spec.name) if body.form is Form.CSV else _sent_items(body, spec.name)
        loss = _loss_of_rows(spec.name, items, array)
        if loss is not None:
            yield loss


def loss_of_cast(name: str | None, sent: Any, array: Any) -> Loss | None:
    """The first value that was changed when the array ``sent`` was cast to ``array``."""
    return _loss_of_rows(name, sent.tolist(), array)


def _loss_of_rows(name: str | None, items: Sequence[Any], array: Any) -> Loss | None:
    for row, (cell, value) in enumerate(zip(items, array.tolist() if array.ndim else [array.item()])):
        if (bad := _first_lost(cell, value, array.dtype.kind)) is not _KEPT:
            return Loss(name or _UNNAMED, row, bad, str(array.dtype))
    return None


def _items_of_table(table: Any, name: str | None) -> Sequence[Any]:
    """The rows of an array in the table that it was sent as."""
    columns = [table[label].tolist() for label in table.columns if name is None or label == name]
    rows = columns[0] if len(columns) == 1 else list(zip(*columns))
    return [row.tolist() if hasattr(row, "tolist") else row for row in rows]


def _sent_items(body: Body, name: str | None) -> Sequence[Any]:
    """The rows of an array as they were sent."""
    value = body.value
    if body.form in (Form.INPUTS, Form.INSTANCES) and name is None:
        return value if isinstance(value, list) else [value]
    sent = columns_of(body)
    if name is not None:
        return sent.get(name, ())
    columns = list(sent.values())
    return columns[0] if len(columns) == 1 else list(zip(*columns))


_KEPT = object()


def _first_lost(cell: Any, value: Any, kind: str) -> Any:
    """The first value in a row of an array that was changed; ``_KEPT`` when there is none."""
    sent, made = list(_leaves(cell)), list(_leaves(value))
    if len(sent) != len(made) or (sent == made and kind != "b"):
        return _KEPT
    return next((one for one, other in zip(sent, made) if not _is_kept(one, other, kind)), _KEPT)


def _is_base64_of(text: str, made: Any) -> bool:
    return isinstance(made, bytes) and base64.b64encode(made).decode() == "".join(text.split())


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _is_kept(sent: Any, made: Any, kind: str) -> bool:
    """Is ``made``, of numpy's ``kind``, the value that was ``sent``?"""
    if is_missing(sent) or is_missing(made):
        return is_missing(sent) and is_missing(made)
    is_text = isinstance(sent, str)
    if kind == "b":
        return isinstance(sent, (bool, int, float)) and sent in (0, 1)
    if kind in "iu":
        return is_text or bool(sent == made)
    if kind in "fc":
        return not math.isinf(abs(made)) or ("inf" in sent.lower() if is_text else abs(sent) == math.inf)
    if kind == "U":
        return not is_text or bool(sent == made)
    if kind == "S" and is_text:
        return made in (sent, sent.encode()) or _is_base64_of(sent, made)
    if kind == "M":
        return not _BEYOND_NANOSECONDS.search(sent) if is_text else int(sent) == sent
    return True
