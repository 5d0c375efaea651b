"""Some thousand requests, generated from signature types, through mlflow's scoring server and through ours.

The model answers with a description of what it was given, so an equal answer says that it cannot tell the two apart.
What differs must be one of the differences that docs/scoring.md lists.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mlflow.pyfunc.scoring_server as scoring_server
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.pyfunc import PyFuncModel

from servery.errors import UnsupportedMediaType
from servery.serving.admission import media_type_of
from servery.serving.answers import refusal_of, status_of
from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor
from servery_worker.schema import Signature
from servery_worker.wire import Asked, Outcome
from tests.compat.scoring_cases import Case, Group, groups
from tests.compat.scoring_differences import DIFFERENCES, Scored

GROUPS = list(groups())
SCORING_PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"
CASES_MIN = 3000


def describe(data: Any) -> Any:
    """All that a model can see of what it is given."""
    if isinstance(data, pd.DataFrame):
        dtypes = ["str" if isinstance(dtype, pd.StringDtype) else str(dtype) for dtype in data.dtypes]
        cells = [[describe(cell) for cell in row] for row in data.itertuples(index=False, name=None)]
        return ["frame", [repr(label) for label in data.index], [repr(name) for name in data.columns], dtypes, cells]
    if isinstance(data, np.ndarray):
        dtype = data.dtype.kind if data.dtype.kind in "US" else str(data.dtype)
        return [dtype, list(data.shape), describe(data.tolist())]
    if isinstance(data, (list, tuple)):
        return [type(data).__name__, *map(describe, data)]
    if isinstance(data, dict):
        return ["dict", *([repr(name), describe(value)] for name, value in data.items())]
    return f"{type(data).__name__} {data!r}"


class Describer:
    """The model, as mlflow holds one."""

    def predict(self, data: Any, params: Any = None) -> str:
        return json.dumps([describe(data), describe(params)])


class Servers:
    """mlflow's scoring server and ours, without their sockets, around one model with a group's signature."""

    def __init__(self, group: Group) -> None:
        manifest = Model(signature=group.signature, flavors={"python_function": {"loader_module": "none"}})
        self._mlflow = PyFuncModel(manifest, Describer())
        signature = None if group.signature is None else group.signature.to_dict()
        loaded = Loaded(lambda data, params: Describer().predict(data, params), row_wise=False)
        self._ours = Predictor("test", loaded, Signature.from_manifest(signature))

    def mlflow(self, case: Case) -> Scored:
        """As ``scoring_server.init`` answers over HTTP."""
        schema = self._mlflow.metadata.get_input_schema()
        try:
            answer = scoring_server.invocations(case.body, case.content_type, self._mlflow, schema)
        except MlflowException as error:
            return Scored(error.get_http_status_code(), error.error_code, error.message)
        except Exception as error:
            return Scored(500, "", repr(error))
        text = json.loads(answer.response)["predictions"] if answer.status == 200 and b"prompt" not in case.body else ""
        return Scored(answer.status, "", text or answer.response)

    def ours(self, case: Case) -> Scored:
        """As the gateway answers with what a worker says."""
        try:
            media_type = media_type_of(case.content_type.encode())
        except UnsupportedMediaType as error:
            return Scored(*status_of(error), str(error))
        [(outcome, body, *_)], _ = self._ours.answer([Asked(media_type, case.body)])
        if outcome is not Outcome.OK:
            return Scored(*refusal_of(outcome, body))
        return Scored(200, "", json.loads(body)["predictions"] if b"prompt" not in case.body else body.decode())


def is_same(mlflow: Scored, ours: Scored) -> bool:
    if mlflow.status == 200 == ours.status:
        return mlflow.text == ours.text
    # mlflow says 415 in plain text.
    return mlflow.status == ours.status and (mlflow.error_code == ours.error_code or mlflow.status == 415)


@pytest.fixture(scope="module")
def shown() -> set[str]:
    """The differences that the campaign has met."""
    return set()


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
@pytest.mark.filterwarnings("ignore")
def test_every_request_is_answered_as_by_mlflow(group: Group, shown: set[str]) -> None:
    servers, surprises = Servers(group), []
    for case in group.cases:
        mlflow, ours = servers.mlflow(case), servers.ours(case)
        if is_same(mlflow, ours):
            continue
        reasons = [one.what for one in DIFFERENCES if one.shows is not None and one.shows(group, case, mlflow, ours)]
        shown.update(reasons)
        if not reasons:
            surprises.append(f"{case.what} {case.body[:200]!r}\n  mlflow: {mlflow}\n  ours:   {ours}"[:1500])
    assert not surprises, f"{len(surprises)} of {len(group.cases)}:\n" + "\n".join(surprises[:5])


def test_the_campaign_is_large_and_meets_every_difference_that_it_knows(shown: set[str]) -> None:
    assert sum(len(group.cases) for group in GROUPS) >= CASES_MIN
    assert shown == {difference.what for difference in DIFFERENCES if difference.shows is not None}


def test_the_page_lists_the_differences_and_no_others() -> None:
    section = SCORING_PAGE.read_text().split("## Differences from MLflow's scoring server")[1].split("\n## ")[0]
    rows = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    assert rows[2:] == [difference.row for difference in DIFFERENCES]
