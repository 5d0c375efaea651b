"""A frame that is asked of a server is answered with what the model gives in this very process, of the same type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import servery
from servery.package.reader import LoadedModel
from tests.servers import serving

FRAME = pd.DataFrame({"x": [1.0, 2.0], "kind": ["", ""]})


def answer(frame: Any) -> Any:
    """What the first row's ``kind`` names."""
    import numpy as np
    import pandas as pd

    x = frame["x"].to_numpy()
    answers: dict[str, Callable[[], Any]] = {
        "": lambda: x,
        "float32": lambda: x.astype("float32"),
        "a matrix": lambda: np.stack([x, x + 1], axis=1),
        "booleans": lambda: x > 1,
        "text of a length": lambda: np.array(["ham", "spammy"]),
        "text": lambda: np.array(["ham", "spammy"], dtype=object),
        "missing numbers": lambda: np.where(x > 1, np.nan, x),
        "days": lambda: np.array(["2024-01-01", "2025-01-01"], dtype="datetime64[D]"),
        "a frame": lambda: pd.DataFrame({"label": ["a", "b"], "score": x.astype("float32"), "n": [1, 2]}),
        "a series": lambda: pd.Series(x, name="score"),
        "a series without a name": lambda: pd.Series(x),
        "a list": lambda: [1.0, 2.0],
        "lists of different lengths": lambda: [[1], [2, 3]],
        "a list of two kinds": lambda: [1, "a"],
        "rows": lambda: [{"a": 1}, {"a": 2}],
        "arrays by name": lambda: {"a": x, "b": x.astype("int64")},
        "one value": lambda: 3.5,
    }
    return answers[frame["kind"].iloc[0]]()


KINDS = (
    *("", "float32", "a matrix", "booleans", "text of a length", "text", "missing numbers", "days"),
    *("a frame", "a series", "a series without a name", "a list", "lists of different lengths", "a list of two kinds"),
    *("rows", "arrays by name", "one value"),
)


class Served(NamedTuple):
    here: LoadedModel
    there: servery.Client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kinds")
    servery.save_model(answer, folder / "kinds", input_example=FRAME, requirements=["pandas", "pyarrow"])
    with serving(folder / "kinds", folder / "home") as server, servery.Client(gateway=server.url) as client:
        yield Served(servery.load_model(str(folder / "kinds")), client)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_what_the_model_gives_here(served: Served, kind: str) -> None:
    frame = FRAME.assign(kind=kind)
    here, there = served.here.predict(frame), served.there.predict(None, frame)
    assert type(there) is type(here)
    if isinstance(here, dict):
        assert here.keys() == there.keys()
    for one, other in zip(_arrays(here), _arrays(there), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    assert getattr(here, "name", None) == getattr(there, "name", None)


def _arrays(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, pd.DataFrame):
        return [value[name].to_numpy() for name in value]
    if isinstance(value, list):
        return [np.array([repr(cell) for cell in value])]
    return [value.to_numpy() if isinstance(value, pd.Series) else np.asarray(value)]
