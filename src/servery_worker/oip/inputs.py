"""From a request's tensors to what the model takes, by its signature.

Tables come as one tensor of rows and columns, whatever its name, or as one tensor a column; arrays by their names; a
model without a signature gets the array itself, or a dict of arrays. ``docs/open-inference-protocol.md`` has the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from servery_worker.codecs.bodies import BadBody
from servery_worker.codecs.json_text import load_json
from servery_worker.conversions import describe
from servery_worker.enforcement import enforce
from servery_worker.oip import messages
from servery_worker.oip.columns import array_of, fitted, nested_cells, plain_texts, texts, texts_array
from servery_worker.oip.content_types import ContentType, cells_of, content_type_of, of_input
from servery_worker.oip.frames import Kinds, check_known, check_rows, frame_of_tensors, told
from servery_worker.oip.messages import Datatype, InferRequest, InferTensor
from servery_worker.oip.raw import cell_bytes
from servery_worker.parameters import enforce_params
from servery_worker.schema import NESTED_TYPES, Column, ColumnType, InvalidInput, Signature, Tensor


def params_of(request: InferRequest, signature: Signature) -> dict[str, Any] | None:
    """What the model is given as params: the request's parameters that have a param's name, and the defaults. A list,
    or an object, is its JSON text.

    Raises:
        InvalidInput: a value is not of its type.
    """
    if signature.params is None:
        return None
    given = {}
    for param in signature.params:
        if param.name in request.parameters:
            value: Any = request.parameters[param.name]
            is_nested = param.shape is not None or param.type is ColumnType.OBJECT
            given[param.name] = _from_json(param.name, value) if is_nested and isinstance(value, str) else value
    return enforce_params(given, signature.params)


def _from_json(name: str, text: str) -> Any:
    try:
        return load_json(text.encode())
    except ValueError:
        raise InvalidInput(f"Param {name!r}: expected JSON text, got {describe(text)}.") from None


def model_input(request: InferRequest, signature: Signature) -> Any:
    """What the model is given: held against the signature, or the plain values where it checks them itself.

    Raises:
        BadBody, InvalidInput: the tensors do not make it; one sentence names the input.
    """
    tensors, specs = request.inputs, signature.inputs
    _check_names(tensors)
    wanted = content_type_of("The request", request.parameters)
    is_frame = wanted is ContentType.FRAME
    kinds = {tensor.name: of_input(tensor, None if is_frame else wanted) for tensor in tensors}
    if not specs:
        return _frame_unchecked(tensors, kinds) if is_frame else _unchecked(tensors, kinds)
    if isinstance(specs[0], Tensor):
        return enforce(_arrays(tensors, kinds, cast("tuple[Tensor, ...]", specs)), specs)
    columns = cast("tuple[Column, ...]", specs)
    if signature.is_from_type_hint:
        return _values(tensors, kinds, columns[0])
    return enforce(frame_of_tensors(tensors, kinds, columns), specs)


def _check_names(tensors: Sequence[InferTensor]) -> None:
    if not tensors:
        raise BadBody("'inputs' is expected to have at least one tensor; it is empty.")
    names = [tensor.name for tensor in tensors]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadBody(f"Input {twice!r} is there twice.")


def _arrays(tensors: Sequence[InferTensor], kinds: Kinds, specs: tuple[Tensor, ...]) -> Any:
    """The array, or the arrays by name, for a signature of tensors, their shapes not yet held against it."""
    import numpy as np

    if specs[0].name is not None:
        by_name = {spec.name: spec for spec in specs}
        check_known(tensors, list(by_name), "asked for otherwise")
        return {tensor.name: array_of(tensor, kinds[tensor.name], by_name[tensor.name]) for tensor in tensors}
    if len(tensors) == 1:
        return array_of(tensors[0], kinds[tensors[0].name], specs[0])
    check_rows(tensors)
    if any(math.prod(tensor.shape) != tensor.shape[0] for tensor in tensors):
        raise InvalidInput(f"The inputs are expected to be one array, or its columns; got {told(tensors)}.")
    return np.stack([array_of(tensor, kinds[tensor.name], specs[0]).ravel() for tensor in tensors], axis=1)


def _unchecked(tensors: Sequence[InferTensor], kinds: Kinds) -> Any:
    """For a model without a signature: one tensor is the array, several are a dict; "str", "base64" and "datetime" are
    lists of such, as MLServer has it."""
    values = {tensor.name: _unchecked_one(tensor, kinds[tensor.name]) for tensor in tensors}
    return values if len(tensors) > 1 else values[tensors[0].name]


def _unchecked_one(tensor: InferTensor, kind: ContentType | None) -> Any:
    import numpy as np

    if tensor.datatype is not Datatype.BYTES:
        return fitted(f"Input {tensor.name!r}", tensor.data, np.dtype(messages.NUMPY_NAMES[tensor.datatype]))
    cells = cells_of(tensor, kind)
    if kind is ContentType.DATETIME:
        return [cell and cell.to_pydatetime() for cell in cells]
    if kind in (ContentType.TEXT, ContentType.BASE64):
        return cells
    return texts_array(plain_texts(cells), tensor.shape)


def _frame_unchecked(tensors: Sequence[InferTensor], kinds: Kinds) -> Any:
    import pandas as pd

    check_rows(tensors)
    columns = {}
    for tensor in tensors:
        count = tensor.shape[0]
        if tensor.datatype is Datatype.BYTES and tensor.data.size == count:
            columns[tensor.name] = pd.Series(plain_texts(cells_of(tensor, kinds[tensor.name])))
        else:
            values = _unchecked_one(tensor, None)
            columns[tensor.name] = pd.Series(values.ravel() if values.size == count else list(values))
    return pd.DataFrame(columns)


def _values(tensors: Sequence[InferTensor], kinds: Kinds, column: Column) -> list[Any]:
    """The list of plain values for a model that checks them by its type hint: objects may come a property a tensor."""
    properties: Mapping[str, Any] = (column.detail or {}).get("properties") or {}
    if column.type is ColumnType.OBJECT and all(tensor.name in properties for tensor in tensors):
        check_rows(tensors)
        columns = [
            _values_of(tensor, kinds[tensor.name], _property(tensor.name, properties[tensor.name]))
            for tensor in tensors
        ]
        return [{tensor.name: cell for tensor, cell in zip(tensors, row)} for row in zip(*columns)]
    if len(tensors) > 1:
        raise InvalidInput(f"The model takes a list of {column.type.value}, as one tensor; got {told(tensors)}.")
    return _values_of(tensors[0], kinds[tensors[0].name], column)


def _property(name: str, spec: Mapping[str, Any]) -> Column:
    return Column(ColumnType(spec["type"]), name, detail=spec)


def _values_of(tensor: InferTensor, kind: ContentType | None, column: Column) -> list[Any]:
    where = f"Input {tensor.name!r}"
    if column.type in NESTED_TYPES:
        return nested_cells(where, tensor, kind)
    if tensor.datatype is not Datatype.BYTES:
        return tensor.data.ravel().tolist()  # type: ignore[no-any-return]
    cells = cells_of(tensor, kind)
    if column.type is ColumnType.BINARY:
        return [None if cell is None else cell_bytes(cell) for cell in cells]
    return cells if kind is ContentType.DATETIME else texts(where, cells)
