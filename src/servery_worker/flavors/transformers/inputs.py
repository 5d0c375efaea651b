"""What callers send for a text, as the pipelines take it.

Signature enforcement makes a table of nearly everything: a text is one cell of the unnamed column 0, a dict is one row.
Each reader takes these back apart, and takes the plain forms too: a text, a list of texts, a dict, a list of dicts.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any


def plain_input(data: Any, kind: str) -> Any:
    """A frame as a list of its rows; all else as it is. ``kind`` is the name of the pipeline's class.

    Raises:
        TypeError: no pipeline takes it.
    """
    import numpy as np
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return _one_of_each(data) if kind == "ZeroShotClassificationPipeline" else data.to_dict(orient="records")
    if isinstance(data, (dict, str, bytes, np.ndarray)):
        return data
    if not isinstance(data, list):
        raise TypeError(f"The input is expected to be a table, a text, bytes, a list or a dict; it is a {_kind(data)}.")
    for item in data:
        if not isinstance(item, (str, dict)):
            raise TypeError(f"The list is expected to hold texts or dicts only; it holds a {_kind(item)}.")
    return data


def _one_of_each(frame: Any) -> dict[Any, Any]:
    """A frame's columns without repetitions: the texts of its rows, and the labels that each row repeats."""
    columns = {}
    for name, cells in frame.to_dict(orient="list").items():
        found: list[Any] = []
        for cell in map(_plain, cells):
            if cell not in found:
                found.append(cell)
        many = len(found) > 1 and all(isinstance(cell, str) for cell in found)
        columns[name] = found if many or not found else found[0]
    return columns


def in_template(given: Any, template: str) -> Any:
    """Each text within the model's prompt template."""
    if isinstance(given, str):
        return template.format(prompt=given)
    if isinstance(given, list) and all(isinstance(text, str) for text in given):
        return [template.format(prompt=text) for text in given]
    raise ValueError(f"A model with a prompt template is expected to be asked in texts; this is a {_kind(given)}.")


def texts(data: Any) -> Any:
    """A text or a list of texts; of dicts the first value."""
    given = sequences(data)
    if isinstance(given, str) or (isinstance(given, list) and all(isinstance(text, str) for text in given)):
        return given
    raise ValueError(f"The input is expected to be a text or a list of texts; it is {_described(given)}.")


def sequences(data: Any) -> Any:
    """What there is, as it is; of dicts the first value."""
    if _are_dicts(data):
        return [_plain(next(iter(row.values()))) for row in data]
    return data


def described_texts(data: Any) -> Any:
    """As ``texts``; but a dict with names becomes one text, "name: value name: value"."""
    if _are_dicts(data):
        if data and 0 in data[0]:
            return described_texts(sequences(data))
        return [_described_text(row) for row in data]
    if isinstance(data, dict):
        return _described_text(data)
    return texts(data)


def _described_text(row: Mapping[Any, Any]) -> Any:
    plain = {name: _plain(value) for name, value in row.items()}
    for name, value in plain.items():
        if not isinstance(value, str):
            raise ValueError(f"The input's {name!r} is expected to be a text; it is a {_kind(value)}.")
    if "inputs" in plain or not all(isinstance(name, str) for name in plain):
        return list(plain.values())
    return " ".join(f"{name}: {value}" for name, value in plain.items())


def text_pairs(data: Any) -> Any:
    """Texts, or dicts of a text and its pair."""
    if isinstance(data, str) or (isinstance(data, list) and all(isinstance(item, str) for item in data)):
        return data
    rows = data if _are_dicts(data) else [data]
    for row in rows:
        if not isinstance(row, dict):
            expected = "expected to be texts, or dicts of text and text_pair"
            raise ValueError(f"The input is {expected}; it is {_described(data)}.")
        if set(row) - {"text", "text_pair"} and not all(isinstance(name, int) for name in row):
            raise ValueError(f"The input is expected to have text and text_pair only; it has {_names(row)}.")
    given = sequences(rows) if 0 in rows[0] else [{name: _plain(cell) for name, cell in row.items()} for row in rows]
    given = _as_written(given)
    for item in given:
        if isinstance(item, dict):
            _check_cells(item)
    return given if rows is data else given[0]


def _as_written(items: list[Any]) -> list[Any]:
    """A pair that came by way of a table as the text that Python writes for the dict, as a dict again."""
    try:
        read = [ast.literal_eval(item) for item in items]
    except (ValueError, SyntaxError):
        return items
    return read if all(isinstance(item, (dict, str)) for item in read) else items


def questions(data: Any) -> dict[str, Any]:
    """The keywords ``question`` and ``context``, of one question or of lists of them."""
    rows = data if _are_dicts(data) else [data]
    for row in rows:
        if not isinstance(row, dict) or not {"question", "context"} <= set(row):
            found = f"it has {_names(row)}" if isinstance(row, dict) else f"it is {_described(row)}"
            raise ValueError(f"The input is expected to have question and context; {found}.")
        _check_cells(row)
    if rows is not data:
        return {name: _plain(value) for name, value in data.items()}
    return {name: [_plain(row[name]) for row in rows] for name in rows[0]}


def labelled(data: Any) -> Any:
    """``sequences`` and ``candidate_labels``, which may be a list in JSON."""
    if isinstance(data, list):
        return [labelled(row) for row in data]
    if not isinstance(data, dict) or "candidate_labels" not in data:
        found = f"it has {_names(data)}" if isinstance(data, dict) else f"it is {_described(data)}"
        raise ValueError(f"The input is expected to have candidate_labels; {found}.")
    _check_cells(data)
    given = {name: _plain(value) for name, value in data.items()}
    if isinstance(given["candidate_labels"], str):
        try:
            given["candidate_labels"] = json.loads(given["candidate_labels"])
        except ValueError:
            return given  # The pipeline itself takes labels with commas between them.
    return given


def table_questions(data: Any) -> dict[str, Any]:
    """The keywords ``query``, one text or several, and ``table``, a dict of columns, which may be given as text."""
    given = _gathered(data) if _are_dicts(data) else data
    if not isinstance(given, dict) or "table" not in given:
        raise ValueError("The input is expected to be a dict with query and table; it has no table.")
    plain = {name: _plain(value) for name, value in given.items()}
    table = plain.pop("table")
    _check_cells(plain)
    if not isinstance(table, dict):
        try:
            table = ast.literal_eval(table)
        except (ValueError, SyntaxError):
            raise ValueError(f"The table is expected to be one dict of columns; it is {_described(table)}.") from None
    return {**plain, "table": table}


def _gathered(rows: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Rows as one dict: what all of them say stays itself, what they say differently becomes a list."""
    one = dict(rows[0])
    for row in rows:
        for name, value in row.items():
            if name not in one:
                raise ValueError(f"The rows are expected to have the same names; only some have {name!r}.")
            if value != one[name]:
                one[name] = [*one[name], value] if isinstance(one[name], list) else [one[name], value]
    return one


def utterance(data: Any) -> Any:
    """A conversation that begins with what the caller says."""
    import transformers

    row = data[0] if _are_dicts(data) else data
    text = _plain(next(iter(row.values()))) if isinstance(row, dict) else row
    if not isinstance(text, str):
        raise ValueError(f"The input is expected to be a text; it is {_described(text)}.")
    return transformers.Conversation(text)


def _are_dicts(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and all(isinstance(row, dict) for row in data)


def _check_cells(row: Mapping[Any, Any]) -> None:
    import numpy as np

    for name, value in row.items():
        items = value if isinstance(value, list) else [value]
        if not isinstance(value, np.ndarray) and not all(isinstance(item, (str, bytes)) for item in items):
            raise ValueError(
                f"The input's {name!r} is expected to be a text or a list of texts; it is {_described(value)}."
            )


def _plain(value: Any) -> Any:
    """A cell that request parsing made an array, as what it was."""
    import numpy as np

    return value.tolist() if isinstance(value, np.ndarray) else value


def _names(row: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, list(row)[:10])) or "no names"


def _kind(value: Any) -> str:
    return type(value).__name__


def _described(value: Any) -> str:
    if isinstance(value, list):
        odd = next((_kind(item) for item in value if not isinstance(item, str)), "str")
        return f"a list with a {odd}" if value else "an empty list"
    return f"a {_kind(value)}"
