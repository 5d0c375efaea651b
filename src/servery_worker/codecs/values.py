"""The forms ``inputs`` and ``instances`` to arrays, dicts of arrays, or lists.

What becomes what follows MLflow's scoring server (``mlflow/utils/proto_json_utils.py``): a list for a signature of one
named column is that column; each key of an object is a column; ``instances`` given as objects are transposed.
"""

from __future__ import annotations

from typing import Any

from servery_worker.codecs.bodies import BadBody
from servery_worker.conversions import cast_nullable, describe, is_missing, is_nullable, json_type
from servery_worker.nested import conform_cell
from servery_worker.schema import NESTED_TYPES, NUMPY_NAMES, Column, ColumnType, InvalidInput, Specs, Tensor
from servery_worker.tensors import dtype_of


def value_of_inputs(value: Any, specs: Specs | None) -> Any:
    """The value of ``inputs`` with its cells converted to the signature's types.

    Raises:
        BadBody: it is not rectangular, or not of a shape that the signature can take.
        InvalidInput: a value cannot be converted; the sentence names its column.
    """
    named = _named(specs)
    if len(named) == 1 and isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        value = {next(iter(named)): value}
    elif specs and not named and not (isinstance(value, (list, str, int, float))):
        raise BadBody(f"The model takes a list or a single value, without names; got {json_type(value)}.")
    if isinstance(value, dict):
        return {name: _convert_column(name, cells, named.get(name)) for name, cells in value.items()}
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        # Where the key of a nullable column is missing, pandas would fill in a NaN, and make floats of its integers.
        nullable = [name for name, spec in named.items() if is_nullable(spec) and any(name in row for row in value)]
        filled = [{**dict.fromkeys(name for name in nullable if name not in row), **row} for row in value]
        return [{name: _convert(name, cell, named.get(name)) for name, cell in row.items()} for row in filled]
    return _convert(None, value, specs[0] if specs else None)


def value_of_instances(value: Any, specs: Specs | None) -> Any:
    """The value of ``instances``: as ``inputs``, but objects become columns, and columns must be of one length."""
    import numpy as np

    named = _named(specs)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        columns: dict[str, list[Any]] = {}
        for row in value:
            if not isinstance(row, dict):
                raise BadBody(f"'instances' is expected to hold objects only, got {describe(row)}.")
            for name, cell in row.items():
                columns.setdefault(name, []).append(_convert(name, cell, named.get(name)))
        value = {name: _rectangular(name, cells, np.array) for name, cells in columns.items()}
    else:
        value = value_of_inputs(value, specs)
    if isinstance(value, dict):
        _check_lengths(value, named)
    return value


def _named(specs: Specs | None) -> dict[str, Column | Tensor]:
    return {spec.name: spec for spec in specs or () if spec.name is not None}


def _check_lengths(columns: dict[str, Any], named: dict[str, Column | Tensor]) -> None:
    import numpy as np

    lengths = {}
    for name, cells in columns.items():
        spec = named.get(name)
        if named and (spec is None or not _is_counted(spec)):
            continue
        if isinstance(cells, np.ndarray) and not cells.ndim:
            raise BadBody(f"Column {name!r} of 'instances' is expected to be a list, got {describe(cells)}.")
        if isinstance(cells, (list, np.ndarray)):
            lengths[name] = len(cells)
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} has {length}" for name, length in list(lengths.items())[:10])
        raise BadBody(f"The columns of 'instances' are expected to be of one length; {found}.")


def _is_counted(spec: Column | Tensor) -> bool:
    return isinstance(spec, Tensor) or (spec.required and spec.type is not ColumnType.ARRAY)


def _convert_column(name: Any, cells: Any, spec: Column | Tensor | None) -> Any:
    if isinstance(spec, Column) and is_nullable(spec) and isinstance(cells, list) and any(map(is_missing, cells)):
        return cast_nullable(name, cells, spec.type)
    return _convert(name, cells, spec)


def _convert(name: Any, value: Any, spec: Column | Tensor | None) -> Any:
    """``value``, one cell or all cells of a column, as numpy in the signature's type."""
    import numpy as np

    if spec is None:
        return _rectangular(name, value, np.array)
    where = "The input" if name is None else f"Column {name!r}"
    if isinstance(spec, Column) and spec.type in NESTED_TYPES:
        cell = conform_cell(where, value, spec)
        return np.array(cell) if spec.type is ColumnType.ARRAY else cell
    if is_missing(value) and is_nullable(spec):
        import pandas as pd

        return pd.NA
    dtype = dtype_of(spec) if isinstance(spec, Tensor) else np.dtype(NUMPY_NAMES[spec.type])
    is_cell = isinstance(spec, Column) and not isinstance(value, (list, np.ndarray))
    try:
        return np.array([value], dtype)[0] if is_cell else np.array(value, dtype)
    except Exception:
        wanted = dtype if isinstance(spec, Tensor) else spec.type.value
        raise InvalidInput(f"{where}: expected {wanted}, got {_culprit(value, dtype)}.") from None


def _culprit(value: Any, dtype: Any) -> str:
    """The first cell that numpy does not take for ``dtype``, and its row."""
    import numpy as np

    for row, item in enumerate(value if isinstance(value, list) else ()):
        try:
            np.array(item, dtype)
        except Exception:
            return f"{_first_refused(item, dtype)} in row {row}"
    if isinstance(value, list):
        return "lists of different lengths"
    return describe(value)


def _first_refused(value: Any, dtype: Any) -> str:
    """The first cell in a row, however deep, that numpy does not take."""
    import numpy as np

    while isinstance(value, list):
        for item in value:
            try:
                np.array(item, dtype)
            except Exception:
                value = item
                break
        else:
            return "lists of different lengths"
    return describe(value)


def _rectangular(name: Any, value: Any, convert: Any) -> Any:
    try:
        return convert(value)
    except ValueError:
        where = "The input" if name is None else f"Column {name!r}"
        raise BadBody(f"{where} has lists of different lengths.") from None
