"""The ``params`` of a request against the signature: defaults filled, types converted, unknown names ignored."""

from __future__ import annotations

from typing import Any

from servery_worker.conversions import describe
from servery_worker.nested import conform_cell
from servery_worker.schema import NUMPY_NAMES, Column, ColumnType, InvalidInput, Param

_WIDER = {
    ColumnType.LONG: (ColumnType.INTEGER,),
    ColumnType.FLOAT: (ColumnType.INTEGER, ColumnType.LONG),
    ColumnType.DOUBLE: (ColumnType.INTEGER, ColumnType.LONG, ColumnType.FLOAT),
}
_PYTHON = {
    ColumnType.BOOLEAN: bool,
    ColumnType.INTEGER: int,
    ColumnType.LONG: int,
    ColumnType.FLOAT: float,
    ColumnType.DOUBLE: float,
    ColumnType.STRING: str,
}


def enforce_params(params: Any, schema: tuple[Param, ...] | None) -> dict[str, Any] | None:
    """What the model is given as params: nothing of them when its signature has none, as MLflow has it.

    Raises:
        InvalidInput: a value is not of its type; the sentence names the param.
    """
    if schema is None:
        return None if params is None else {}
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise InvalidInput(f"'params' is expected to be an object, got {describe(params)}.")
    known = {param.name: param for param in schema}
    given = [name for name in params if name in known]
    # MLflow's order: what the caller gave, then the defaults.
    names = given + [name for name in known if name not in params]
    return {name: _enforce_param(params.get(name, known[name].default), known[name]) for name in names}


def _enforce_param(value: Any, param: Param) -> Any:
    where = f"Param {param.name!r}"
    if value is None and param.default is None:
        return None
    if param.shape is None:
        if param.type is ColumnType.OBJECT:
            conform_cell(where, value, Column(param.type, detail=param.detail))
            return value
        return _convert(where, value, param.type)
    if not _is_flat_list(value):
        raise InvalidInput(f"{where}: expected a list of {param.type.value}, got {describe(value)}.")
    return [_convert(f"{where}[{index}]", item, param.type) for index, item in enumerate(value)]


def _is_flat_list(value: Any) -> bool:
    import numpy as np

    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, list) and not any(isinstance(item, (list, np.ndarray)) for item in value)


def _convert(where: str, value: Any, kind: ColumnType) -> Any:
    import numpy as np

    if value is None:
        return None
    wrong = InvalidInput(f"{where}: expected {kind.value}, got {describe(value)}.")
    if kind is ColumnType.DATETIME:
        try:
            moment = np.datetime64(value).item()
        except ValueError:
            raise wrong from None
        if isinstance(moment, int):
            raise wrong
        return moment
    convert = _PYTHON.get(kind)
    if convert is None or not np.isscalar(value):
        raise wrong
    if any(_is_of(value, accepted) for accepted in (kind, *_WIDER.get(kind, ()))):
        return convert(value)
    raise wrong


def _is_of(value: Any, kind: ColumnType) -> bool:
    import numpy as np

    if isinstance(value, np.generic):
        return value.dtype.type is np.dtype(NUMPY_NAMES[kind]).type
    return type(value) is _PYTHON[kind]
