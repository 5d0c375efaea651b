"""What a model returned, as JSON text; and the rows of a batch, apart again."""

from __future__ import annotations

from typing import Any

from servery_worker.codecs.json_text import Unencodable, array_items
from servery_worker.kinds import is_frame, is_series


def plain_answer(output: Any) -> Any:
    """A model's output as MLflow writes it: an array as nested lists, a frame or a series as a list of records.

    Raises:
        Unencodable: nothing stands for it in JSON.
    """
    import numpy as np

    if isinstance(output, np.ndarray):
        return array_items(output)
    if isinstance(output, (list, dict, str, float, int)) or output is None:
        return output
    if is_series(output):
        output = output.to_frame()
    if is_frame(output):
        try:
            return output.to_dict(orient="records")
        except ValueError as error:
            raise Unencodable(str(error)) from None
    return output


def rows_of(answer: Any, counts: list[int]) -> list[Any] | None:
    """The plain answer of a batch cut into its requests; None unless it has one entry for each row."""
    if not isinstance(answer, list) or len(answer) != sum(counts):
        return None
    parts, start = [], 0
    for count in counts:
        parts.append(answer[start : start + count])
        start += count
    return parts


def parts_of(output: Any, counts: list[int]) -> list[Any] | None:
    """A batch's output itself, cut into its requests: an array, a list, a frame, a series, or a dict of such. None
    unless it has one entry for each row."""
    import numpy as np

    if isinstance(output, dict):
        columns = {name: parts_of(value, counts) for name, value in output.items()}
        if not columns or any(parts is None for parts in columns.values()):
            return None
        return [{name: parts[index] for name, parts in columns.items() if parts} for index in range(len(counts))]
    is_table = is_frame(output) or is_series(output)
    is_array = isinstance(output, np.ndarray) and output.ndim > 0
    if not (is_table or is_array or isinstance(output, list)) or len(output) != sum(counts):
        return None
    rows, parts, start = output.iloc if is_table else output, [], 0
    for count in counts:
        parts.append(rows[start : start + count])
        start += count
    return parts
