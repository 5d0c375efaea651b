"""Arrays against tensor signatures: dtype and shape must be what the signature says, as in MLflow."""

from __future__ import annotations

from typing import Any

from servery_worker.conversions import is_within
from servery_worker.schema import InvalidInput, Tensor


def dtype_of(tensor: Tensor) -> Any:
    """The numpy dtype; text and bytes without their length."""
    import numpy as np

    dtype = np.dtype(tensor.dtype)
    return np.dtype(dtype.type) if dtype.kind in "US" else dtype


def check_within(values: Any, dtype: Any) -> None:
    """Raises OverflowError where floats are beyond the integers of ``dtype``."""
    if dtype.kind in "iu" and values.dtype.kind == "f" and not is_within(values, dtype):
        raise OverflowError(f"a value is no number within {dtype}")


def fit(values: Any, tensor: Tensor) -> Any:
    """``values``, a numpy array or a scipy sparse matrix, when it fits.

    Raises:
        InvalidInput: it does not.
    """
    import numpy as np

    where = "The input" if tensor.name is None else f"Input {tensor.name!r}"
    if not hasattr(values, "shape") or not hasattr(values, "dtype"):
        raise InvalidInput(f"{where}: expected an array, got a {type(values).__name__}.")
    wanted, shape = dtype_of(tensor), tensor.shape
    if len(shape) == 1 and shape[0] == -1 and wanted.kind == "O":
        return values
    if len(shape) > 1 and -1 in shape[1:] and values.ndim == 1 and values.dtype.kind == "O":
        return values  # A ragged array, where the signature leaves the inner lengths open.
    if len(shape) != len(values.shape) or any(n not in (-1, m) for n, m in zip(shape, values.shape)):
        raise InvalidInput(f"{where}: expected shape {_shape(shape)}, got {_shape(values.shape)}.")
    given = np.dtype(values.dtype.type) if values.dtype.kind in "US" else values.dtype
    if given != wanted:
        raise InvalidInput(f"{where}: expected {wanted} values, got {given}.")
    return values


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join("any" if size == -1 else str(size) for size in shape) + ")"


def from_frame(frame: Any, tensor: Tensor) -> Any:
    """A frame as one array: each column a feature, or one column whose cells are rows.

    Raises:
        InvalidInput: it has not the signature's shape or dtype.
    """
    if frame.empty:
        raise InvalidInput("The input has no rows.")
    if len(frame.columns) == 1:
        return _from_column(frame[frame.columns[0]], tensor)
    if tensor.shape != (-1, len(frame.columns)):
        raise InvalidInput(
            f"The input has {len(frame.columns)} columns; the model takes an array of shape {_shape(tensor.shape)}."
        )
    return fit(frame.to_numpy(), tensor)


def _from_column(column: Any, tensor: Tensor) -> Any:
    """One column: of single values, or of lists or arrays that are the rows."""
    import numpy as np

    where, shape = f"Column {column.name!r}", tensor.shape
    if shape[:1] != (-1,) or -1 in shape[1:]:
        raise InvalidInput(f"{where}: a table cannot be made an array of shape {_shape(shape)}.")
    first = column.iloc[0]
    try:
        if np.isscalar(first):
            if shape not in ((-1,), (-1, 1)):
                raise InvalidInput(f"{where}: expected rows of shape {_shape(shape[1:])}, got single values.")
            check_within(column, dtype_of(tensor))
            return fit(np.array(column, dtype=dtype_of(tensor)).reshape(shape), tensor)
        if not isinstance(first, np.ndarray) and not (isinstance(first, list) and np.isscalar(first[0])):
            raise InvalidInput(f"{where}: expected numbers or lists of numbers, got {type(first).__name__}.")
        rows = np.vstack(column.tolist()).reshape(shape)
        if isinstance(first, list):  # Arrays stay what they are, whatever the signature's dtype is.
            check_within(rows, dtype_of(tensor))
            rows = rows.astype(dtype_of(tensor))
    except InvalidInput:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise InvalidInput(f"{where}: cannot be made an array of shape {_shape(shape)}: {error}.") from None
    if len(rows) != len(column):
        raise InvalidInput(f"{where}: cannot be made {len(column)} rows of shape {_shape(shape[1:])}.")
    return rows
