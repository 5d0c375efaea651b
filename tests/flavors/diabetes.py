"""Diabetes: the table that the tree models are trained on, and what their callers send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def data() -> Any:
    """The table and its target: doubles, with some of them missing."""
    from sklearn.datasets import load_diabetes

    data, target = load_diabetes(return_X_y=True, as_frame=True)
    data.loc[::7, "bmi"] = None
    return data, target


def rows() -> Sequence[Any]:
    table, _ = data()
    whole = table[10:20].assign(s6=0).astype({"s6": "int32"})
    return [
        table[:3],
        table[5:6],
        table[100:160],
        table[table.columns[::-1]][20:25],
        whole,
        table[7:8],
        table[:2].assign(more=1),
    ]


def arrays() -> Sequence[Any]:
    table, _ = data()
    array = table.to_numpy()
    return [array[:3], array[100:101], array[8:20]]
