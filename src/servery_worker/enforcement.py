"""Does an input fit the signature? MLflow's rules for what ``predict`` is given (``mlflow/models/utils.py``).

Columns are converted only where no value changes; extra columns are dropped and the rest put in the signature's
order; tensors must have the dtype and the shape that the signature says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from servery_worker.conversions import NULLABLE_DTYPES, convert_safely, is_missing, is_nullable
from servery_worker.flavors import one_line
from servery_worker.kinds import is_frame, is_series
from servery_worker.nested import conform_cell
from servery_worker.schema import NESTED_TYPES, Column, ColumnType, InvalidInput, Specs, Tensor
from servery_worker.tensors import fit, from_frame


def enforce(data: Any, specs: Specs | None) -> Any:
    """What the model is given for ``data``: a frame for columns, an array or a dict of arrays for tensors.

    Raises:
        InvalidInput: it does not fit; one sentence names the column.
    """
    if not specs:
        return data
    try:
        return _enforce(data, specs)
    except InvalidInput:
        raise
    except Exception as error:  # numpy and pandas refuse what no rule here foresees.
        raise InvalidInput(f"The input does not fit the model's signature: {one_line(error)}.") from None


def _enforce(data: Any, specs: Specs) -> Any:
    if is_series(data):
        data = data.to_frame()
    if isinstance(specs[0], Tensor):
        return _enforce_tensors(data, cast("tuple[Tensor, ...]", specs))
    import pandas as pd

    columns = cast("tuple[Column, ...]", specs)
    frame = _as_frame(data, columns)
    if columns[0].name is not None:
        return _enforce_named(frame, columns)
    if len(frame.columns) < len(columns):
        raise InvalidInput(f"The input has {len(frame.columns)} columns; the model takes {len(columns)}.")
    names = list(frame.columns[: len(columns)])
    return pd.DataFrame({name: _conform(name, frame[name], column) for name, column in zip(names, columns)})


def _as_frame(data: Any, columns: Sequence[Column]) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    try:
        if np.isscalar(data):
            return pd.DataFrame([data])
        if isinstance(data, dict):
            return _dict_as_frame(data, columns)
        if isinstance(data, (list, np.ndarray)):
            return pd.DataFrame(data)
    except Exception as error:
        raise InvalidInput(f"The input cannot be made a table: {error}.") from None
    raise InvalidInput(f"The input is expected to be a table, a list or an object; it is a {type(data).__name__}.")


def _dict_as_frame(data: dict[str, Any], columns: Sequence[Column]) -> Any:
    """One row, or a column for each key: the same guess as MLflow makes."""
    import numpy as np
    import pandas as pd

    def is_single(value: Any) -> bool:
        is_texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return is_missing(value) or bool(np.isscalar(value)) or is_texts

    def is_text(value: Any) -> bool:
        return isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.shape == ()

    nested = any(column.type in (ColumnType.ARRAY, ColumnType.OBJECT) for column in columns)
    if nested or all(map(is_single, data.values())) or all(map(is_text, data.values())):
        return pd.DataFrame([data])
    # A frame holds no array of two dimensions; as lists it is refused by its column's name.
    is_deep = {name: isinstance(value, np.ndarray) and value.ndim > 1 for name, value in data.items()}
    return pd.DataFrame({name: value.tolist() if is_deep[name] else value for name, value in data.items()})


def check_columns(given: Sequence[Any], columns: Sequence[Column]) -> None:
    """Raises InvalidInput when a required column is missing, or one of the signature's is there twice."""
    names = set(given)
    missing = [column.name for column in columns if column.required and column.name not in names]
    if missing:
        what = "Column {} is" if len(missing) == 1 else "Columns {} are"
        raise InvalidInput(f"{what.format(listed(missing))} missing; the input has {listed(given)}.")
    if len(names) != len(given):
        for column in columns:
            if list(given).count(column.name) > 1:
                raise InvalidInput(f"Column {column.name!r} is there twice.")


def listed(names: Sequence[Any]) -> str:
    text = ", ".join(repr(name) for name in names[:10]) or "none"
    return f"{text} and {len(names) - 10} more" if len(names) > 10 else text


def _enforce_named(frame: Any, columns: Sequence[Column]) -> Any:
    import pandas as pd

    check_columns(list(frame.columns), columns)
    present = [column for column in columns if column.name in frame.columns]
    given = {column.name: frame[column.name] for column in present}
    fitting = {column.name: _conform(column.name, given[column.name], column) for column in present}
    if given and all(fitting[name] is given[name] for name in given):
        return frame[list(given)]
    return pd.DataFrame(fitting)


def _conform(name: Any, values: Any, column: Column) -> Any:
    """A column in the signature's type, converted only where no value changes."""
    import pandas as pd

    where = f"Column {name!r}"
    if column.type in NESTED_TYPES:
        cells = [conform_cell(f"{where} in row {row}", value, column) for row, value in enumerate(values)]
        return pd.Series(cells, index=values.index, name=name)
    if is_nullable(column) and _has_na(values):
        return _conform_nullable(where, values, column)
    return convert_safely(where, values, column.type)


def _has_na(values: Any) -> bool:
    """Has the column pandas' own missing value, which is no NaN?"""
    import pandas as pd

    if isinstance(values.dtype, pd.api.extensions.ExtensionDtype):
        return values.dtype.kind in "biu" and bool(values.hasnans)
    return values.dtype == object and any(cell is pd.NA for cell in values)


def _conform_nullable(where: str, values: Any, column: Column) -> Any:
    import pandas as pd

    dtype, present = NULLABLE_DTYPES[column.type], values.notna()
    made = pd.Series([pd.NA] * len(values), index=values.index, name=values.name, dtype=dtype)
    if present.any():
        made[present] = convert_safely(where, values[present], column.type).astype(dtype)
    return made


def _enforce_tensors(data: Any, tensors: Sequence[Tensor]) -> Any:
    import numpy as np

    if tensors[0].name is None:
        return from_frame(data, tensors[0]) if is_frame(data) else fit(data, tensors[0])
    names = [tensor.name for tensor in tensors]
    if len(names) == 1 and isinstance(data, np.ndarray):
        data = {names[0]: data}
    if not (isinstance(data, dict) or is_frame(data)):
        raise InvalidInput(f"The input is expected to have {listed(names)}; it is a {type(data).__name__}.")
    missing = [name for name in names if name not in data]
    if missing:
        raise InvalidInput(f"Input {listed(missing)} is missing; there is {listed(list(data))}.")
    if is_frame(data):
        return {tensor.name: from_frame(data[[tensor.name]], tensor) for tensor in tensors}
    return {tensor.name: fit(data[tensor.name], tensor) for tensor in tensors}
