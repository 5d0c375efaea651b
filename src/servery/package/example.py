"""The input example of a model, as data and as a request: what MLflow writes beside a model (``_Example`` there)."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from servery.errors import InvalidInput
from servery_worker.codecs.json_text import Unencodable, dump_json

INPUT_EXAMPLE_FILE = "input_example.json"
SERVING_EXAMPLE_FILE = "serving_input_example.json"
EXAMPLE_OUTPUT_FILE = "example_output.json"
"""What our server answers to the serving example: ``{"predictions": …}``."""

_EXPECTED = "a pandas DataFrame or Series, a numpy array, a list, a dict or a scalar, or one of them with params"
_LLM_KEYS = frozenset({"messages", "prompt", "input"})


@dataclass(frozen=True, slots=True)
class Example:
    """An input example.

    ``info`` is the MLmodel's ``saved_input_example_info``; ``input_json`` and ``serving_json`` are the two files.
    """

    data: Any
    params: Mapping[str, Any] | None
    info: Mapping[str, str]
    input_json: bytes
    serving_json: bytes

    @property
    def is_list_of_scalars(self) -> bool:
        """One value a row without a column's name, such as a list of texts."""
        return isinstance(self.data, list) and not any(isinstance(item, list | dict) for item in self.data)


def make_example(example: Any) -> Example:
    """Read what the person gave as ``input_example``: the input, or a tuple of the input and a dict of params.

    Raises:
        InvalidInput: it has no form in JSON.
    """
    data, params = example, None
    if isinstance(example, tuple) and len(example) == 2 and isinstance(example[1], dict):
        data, params = example
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.Series):
        data = data.to_list()
    kind, plain, serving = _forms(data)
    info = {"artifact_path": INPUT_EXAMPLE_FILE, "serving_input_path": SERVING_EXAMPLE_FILE, **kind}
    if params is not None:
        info["params"] = "true"
        plain = {"inputs": plain, "params": params}
        serving = {**serving, **(params if _is_llm(data) else {"params": params})}
    try:
        return Example(data, params, info, dump_json(plain), dump_json(serving))
    except Unencodable as error:
        raise InvalidInput("input_example", expected=_EXPECTED, got=str(error)) from None


def _forms(data: Any) -> tuple[dict[str, str], Any, dict[str, Any]]:
    """How the file describes itself, what it holds, and the same as a request's body."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        split = data.to_dict(orient="split")
        _make_dates_alike(split["data"], [index for index, dtype in enumerate(data.dtypes) if dtype.kind == "M"])
        table = {"columns": split["columns"], "data": split["data"]}
        if list(data.columns) == list(range(len(data.columns))):
            del table["columns"]
        orient = "split" if "columns" in table else "values"
        return {"type": "dataframe", "pandas_orient": orient}, table, {"dataframe_split": table}
    if numpy is not None and _is_array(data, numpy):
        return {"type": "ndarray"}, data, {"inputs": data}
    if not isinstance(data, dict | list | str | bytes | int | float | datetime.datetime):
        raise InvalidInput("input_example", expected=_EXPECTED, got=f"a {type(data).__name__}")
    body: dict[str, Any] = data if isinstance(data, dict) and _is_llm(data) else {"inputs": data}
    return {"type": "json_object"}, data, body


def _make_dates_alike(rows: list[list[Any]], columns: list[int]) -> None:
    """Write dates with as many digits as any in their column has: pandas reads a column in the form of its first."""
    for index in columns:
        moments = [row[index] for row in rows]
        digits = "nanoseconds" if any(moment.nanosecond > 0 for moment in moments) else "microseconds"
        if any(moment.nanosecond > 0 or moment.microsecond > 0 for moment in moments):
            for row in rows:
                row[index] = row[index].isoformat(timespec=digits) if row[index] == row[index] else None


def _is_array(data: Any, numpy: Any) -> bool:
    if not isinstance(data, dict):
        return isinstance(data, numpy.ndarray)
    arrays = [isinstance(value, numpy.ndarray) for value in data.values()]
    if any(arrays) and not all(arrays):
        raise InvalidInput("input_example", expected="a dict of arrays only, or of none", got=", ".join(map(str, data)))
    return any(arrays)


def _is_llm(data: Any) -> bool:
    """A request whose whole body is the input, as language models take it."""
    return isinstance(data, dict) and not _LLM_KEYS.isdisjoint(data)
