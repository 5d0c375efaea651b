"""Every difference from MLflow's scoring server, with its reason: the table of docs/scoring.md, and nothing else.

``shows`` says whether an answer of the campaign differs for this reason; the rows without it are about what the
campaign does not ask, and have tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mlflow.types import ColSpec, DataType, TensorSpec
from mlflow.types.schema import Array

from tests.compat.scoring_cases import CSV, JSON, Case, Group


class Scored(NamedTuple):
    """What a server said: the answer where the status is 200, else the error's code and message."""

    status: int
    error_code: str
    text: str


class Difference(NamedTuple):
    what: str
    mlflow: str
    here: str
    shows: Callable[[Group, Case, Scored, Scored], bool] | None = None

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.mlflow} | {self.here} |"


def _specs(group: Group) -> list[ColSpec | TensorSpec]:
    return list(group.signature.inputs.inputs) if group.signature and group.signature.inputs else []


def _beyond_integers(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    refused = "a value is no number within" in here.text or "expected long, got number 1e" in here.text
    return here.status == 400 and (refused or "expected integer, got number 1e" in here.text)


def _null_in_integers(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    kinds = (DataType.integer, DataType.long, DataType.boolean)
    optional = any(isinstance(spec, ColSpec) and not spec.required and spec.type in kinds for spec in _specs(group))
    return optional and here.status == 200 and "<NA>" in here.text


def _other_csv(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    def is_plain(spec: ColSpec | TensorSpec) -> bool:
        return isinstance(spec, ColSpec) and isinstance(spec.type, DataType) and spec.type != DataType.datetime

    return case.content_type == CSV and mlflow.status == 400 and not all(map(is_plain, _specs(group)))


def _index_without_0(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    return case.what == "index" and here.status == 200


def _twice(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    return "is there twice" in here.text


def _ragged_param(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    return mlflow.error_code == "BAD_REQUEST" and here.text.startswith("Param ")


def _content_type(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    return case.content_type.lower().startswith(JSON) and mlflow.status == 415 and here.status == 200


def _fault(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    return mlflow.status == 500 and here.status == 400


def _no_text(group: Group, case: Case, mlflow: Scored, here: Scored) -> bool:
    return "surrogates not allowed" in mlflow.text and here.status == 200


def _lists_in_parquet(group: Group, case: Case, mlflow: Scored, ours: Scored) -> bool:
    nested = any(isinstance(spec, ColSpec) and isinstance(spec.type, Array) for spec in _specs(group))
    return nested and "parquet" in case.content_type and (mlflow.status, ours.status) == (400, 200)


DIFFERENCES = [
    Difference(
        "NaN and infinity in an answer",
        "written bare, which is not JSON",
        "`null`; bare where `X-Servery-Nan` asks for it",
    ),
    Difference(
        "a time series of statsmodels, asked by more than one row or without `start` and `end`",
        "500, `INTERNAL_ERROR`",
        "400, `BAD_REQUEST`: the caller can mend it",
    ),
    Difference("a missing date in an answer", "the text `NaT`", "`null`"),
    Difference(
        "an array of dates as the answer",
        "integers, nanoseconds since 1970; of days: `2020-01-01`",
        "ISO 8601 with the time of day",
    ),
    Difference(
        "an answer with pandas' `NA`, with keys of numpy's types, with a UUID, an enum or a dataclass",
        "500",
        "written",
    ),
    Difference("no `Content-Type`", "500, plain text", "415"),
    Difference(
        "`Content-Type` in capitals, with a `;` at its end, or with the charset as `utf8` or in quotes",
        "415",
        "taken, as HTTP has it",
        _content_type,
    ),
    Difference("415, 500, 504", "plain text", "the same JSON body as every error"),
    Difference("error bodies", "some with `stack_trace`", "never; the worker's log has it"),
    Difference("JSON that is nested too deeply, or an integer of thousands of digits", "500", "400", _fault),
    Difference(
        "a float beyond a column or array of integers",
        "another number, which depends on the machine",
        "400",
        _beyond_integers,
    ),
    Difference(
        "null in an optional column of integers or booleans",
        "400; false for a boolean",
        "pandas' nullable type (`Int64`, `Int32`, `boolean`) with `<NA>`; integers stay exact",
        _null_in_integers,
    ),
    Difference(
        "CSV where the signature has a datetime, a nested type or an array",
        "400, `BAD_REQUEST`",
        "cast as in JSON, taken where no number of an array would change",
        _other_csv,
    ),
    Difference(
        "`index` without the label 0, for a model that takes an array",
        "400",
        "taken",
        _index_without_0,
    ),
    Difference(
        "a column that is there twice",
        "its name in every row, where its type is `any`; else 400",
        "400",
        _twice,
    ),
    Difference(
        "text that is no Unicode, in a column that the signature does not name",
        "400",
        "left out with its column",
        _no_text,
    ),
    Difference("a NUL at the end of a text in `inputs` or `instances`", "dropped", "kept, or dropped and told"),
    Difference(
        "lists of different lengths as a param",
        "400, `BAD_REQUEST`",
        "400, `INVALID_PARAMETER_VALUE`, as for any other wrong param",
        _ragged_param,
    ),
    Difference("`GET /version`", "MLflow's release", "Servery's release"),
    Difference("`HEAD /ping`", "405", "200"),
    Difference(
        "a model that is still loading",
        "the server does not answer yet",
        "`/ping` answers 503, and requests wait for their deadline",
    ),
    Difference(
        "requests at the same time",
        "predicted one by one, in threads",
        "predicted together where the example proved that right",
    ),
    Difference(
        "an ONNX model of several inputs without a signature, sent an array",
        "500, `INTERNAL_ERROR`",
        "400, `BAD_REQUEST`: the caller can mend it",
    ),
    Difference(
        "`Content-Encoding`", "ignored: the compressed body is read as it is", "gzip, deflate and zstd are decoded"
    ),
    Difference("`Accept`", "ignored", "decides between JSON, Arrow and Parquet; 406 where it takes none of them"),
    Difference(
        "a map in a Parquet body, an array of more than two dimensions in one, "
        "lists of different lengths within a list",
        "400",
        "taken",
        _lists_in_parquet,
    ),
    Difference("an array in a Parquet body of no rows", "400", "taken"),
    Difference(
        "a table for a time series of statsmodels with labels of its rows", "400", "taken: the labels say nothing"
    ),
    Difference(
        "CSV for a model whose type hint is a list",
        "400",
        "given to the model as a table, as its own code would be given it",
    ),
]
