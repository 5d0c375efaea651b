"""Whatever form data travels in, a model is given what ``predict`` is given in the same process, and what it gives
comes back: every datatype and signature type, over JSON, raw and typed tensors, Arrow and Parquet, written and read by
stock clients. ``docs/forms.md`` has the table.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2

from servery_worker.codecs.json_text import dump_json
from servery_worker.flavors import Loaded
from servery_worker.predictor import Predictor
from servery_worker.schema import Column, ColumnType, Signature, Specs, Tensor
from servery_worker.wire import AnswerType, Asked, MediaType, Outcome
from tests.unit.worker.arrow_bodies import parquet, stream

T = ColumnType
PAGE = Path(__file__).parents[3] / "docs" / "forms.md"
LARGE = 1000
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where a typed tensor has its values, by its datatype; FP16 and BF16 have no such place."""


class Case(NamedTuple):
    """Data, said in every form."""

    specs: Specs
    given: Any
    """What ``predict`` is given in the process."""
    tensors: dict[str, tuple[str, Any]]
    """Datatype and array by name; cells of BYTES are ``bytes``."""
    table: Any
    """A pyarrow Table."""
    body: dict[str, Any] | None
    """Of MLflow's protocol; None where its JSON cannot say it."""


# Tensors, for models of numpy arrays.

EXTREMES: dict[str, list[Any]] = {
    "BOOL": [True, False, True, False],
    **{f"UINT{bits}": [0, 1, 2 ** (bits - 1), 2**bits - 1] for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": [-(2 ** (bits - 1)), -1, 0, 2 ** (bits - 1) - 1] for bits in (8, 16, 32, 64)},
    "FP16": [0.5, -65504.0, 6e-8, 1.25],
    "BF16": [0.5, -1.0, 2.0**100, 1.25],
    "FP32": [0.1, -3.4e38, 1e-45, 1.25],
    "FP64": [0.1, -1.7e308, 5e-324, 1.25],
    "BYTES": ["", "é", "a,b", "\N{SNOWMAN}" * 40],
}
DTYPES = {"BOOL": "bool", "FP16": "float16", "BF16": "float32", "FP32": "float32", "FP64": "float64", "BYTES": "str"}
SHAPES = {"two rows": (2, 2), "no rows": (0, 2), "large": (LARGE, 2)}


def tensor_case(datatype: str, shape: tuple[int, int]) -> Case:
    cells = (EXTREMES[datatype] * (shape[0] * shape[1] // 4 + 1))[: shape[0] * shape[1]]
    dtype = DTYPES.get(datatype, datatype.lower())
    array = np.array(cells, dtype).reshape(shape)
    sent = array.astype(ml_dtypes.bfloat16) if datatype == "BF16" else array
    if datatype == "BYTES":
        sent = np.array([cell.encode() for cell in cells], object).reshape(shape)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel().tolist(), _arrow_type(dtype)), shape[1])
    body = None if datatype == "BF16" or not shape[0] else {"inputs": array.tolist()}
    return Case((Tensor(dtype, (-1, shape[1])),), array, {"rows": (datatype, sent)}, pa.table({"rows": rows}), body)


def _arrow_type(dtype: str) -> Any:
    return pa.string() if dtype == "str" else pa.from_numpy_dtype(np.dtype(dtype))


# Columns, for models of pandas frames.

MOMENT = datetime.datetime.fromisoformat("2026-01-02T03:04:05.678")
COLUMNS: dict[str, tuple[Column, list[Any], Any, str, Callable[[Any], Any]]] = {
    # the column, its cells, its Arrow type, its datatype, and a cell as tensors have it
    "boolean": (Column(T.BOOLEAN, "x"), [True, False], pa.bool_(), "BOOL", bool),
    "integer": (Column(T.INTEGER, "x"), [-(2**31), 2**31 - 1], pa.int32(), "INT32", int),
    "long": (Column(T.LONG, "x"), [-(2**63), 2**63 - 1], pa.int64(), "INT64", int),
    "float": (Column(T.FLOAT, "x"), [0.5, -3.0e38], pa.float32(), "FP32", float),
    "double": (Column(T.DOUBLE, "x"), [0.1, -1.7e308], pa.float64(), "FP64", float),
    "string": (Column(T.STRING, "x"), ["", "é\N{SNOWMAN}"], pa.string(), "BYTES", str.encode),
    "binary": (Column(T.BINARY, "x"), [b"", b"a\0\xff"], pa.binary(), "BYTES", bytes),
    "datetime": (
        *(Column(T.DATETIME, "x"), [MOMENT, MOMENT.replace(year=1970)], pa.timestamp("ns"), "BYTES"),
        lambda cell: cell.isoformat().encode(),
    ),
    "array": (
        *(Column(T.ARRAY, "x", detail={"items": {"type": "long"}}), [[1, 2], [3]], pa.list_(pa.int64()), "BYTES"),
        dump_json,
    ),
    "object": (
        Column(T.OBJECT, "x", detail={"properties": {"k": {"type": "string"}}}),
        *([{"k": "v"}, {"k": ""}], pa.struct([("k", pa.string())]), "BYTES", dump_json),
    ),
    "map": (
        Column(T.MAP, "x", detail={"values": {"type": "long"}}),
        *([{"k": 1, "l": 2}, {"m": 3}], pa.map_(pa.string(), pa.int64()), "BYTES", dump_json),
    ),
    "any": (Column(T.ANY, "x"), [[1], [2, 3]], pa.list_(pa.int64()), "BYTES", dump_json),
}
DTYPE_OF = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
COUNTS = {"two rows": 2, "no rows": 0, "large": LARGE}


def column_case(kind: str, count: int) -> Case:
    column, two, arrow_type, datatype, cell_of = COLUMNS[kind]
    cells = (two * (count // 2 + 1))[:count]
    dtype = "datetime64[ns]" if kind == "datetime" else DTYPE_OF.get(kind, "object")
    sent = np.array([None] * count, object)
    sent[:] = [cell_of(cell) for cell in cells]
    array = sent if datatype == "BYTES" else sent.astype(DTYPE_OF[kind])
    frame = pd.DataFrame({"x": pd.Series(cells, dtype=dtype)})
    rows = [[_json_cell(cell)] for cell in cells]
    # Of bytes, MLflow's JSON does not tell text from base64.
    body = None if kind == "binary" else {"dataframe_split": {"columns": ["x"], "data": rows}}
    return Case((column,), frame, {"x": (datatype, array)}, pa.table({"x": pa.array(cells, arrow_type)}), body)


def _json_cell(cell: Any) -> Any:
    return cell.isoformat() if isinstance(cell, datetime.datetime) else cell


# The forms: data to what is asked, and an answer to its values by name.

Ask = Callable[[Case], "Asked | None"]
Read = Callable[[bytes, int], dict[str, Any]]


def _triton_inputs(case: Case, *, binary: bool) -> tuple[bytes, int | None]:
    inputs = []
    for name, (datatype, array) in case.tensors.items():
        one = triton_http.InferInput(name, list(array.shape), datatype)
        one.set_data_from_numpy(array, binary_data=binary)
        inputs.append(one)
    body, head_bytes = triton_http.InferenceServerClient.generate_request_body(inputs)
    if not binary:
        # It asks for binary answers unless it names outputs; here all of them shall be JSON.
        asked = {name: value for name, value in json.loads(body).items() if name != "parameters"}
        return json.dumps(asked).encode(), None
    return body, head_bytes


def ask_json(case: Case) -> Asked | None:
    datatypes = [datatype for datatype, _ in case.tensors.values()]
    is_text = all(not isinstance(cell, bytes) or _is_utf8(cell) for _, a in case.tensors.values() for cell in a.flat)
    if not is_text or "BF16" in datatypes:
        return None
    if "FP16" in datatypes:
        # Triton's client has no JSON form of it, we have: numbers.
        entries = [
            {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.ravel().tolist()}
            for name, (datatype, array) in case.tensors.items()
        ]
        return Asked(MediaType.OIP, json.dumps({"inputs": entries}).encode())
    return Asked(MediaType.OIP, _triton_inputs(case, binary=False)[0])


def _is_utf8(cell: bytes) -> bool:
    try:
        return cell.decode().encode() == cell
    except UnicodeDecodeError:
        return False


def ask_binary(case: Case) -> Asked:
    body, head_bytes = _triton_inputs(case, binary=True)
    return Asked(MediaType.OIP, body, head_bytes=head_bytes or 0)


def ask_raw(case: Case) -> Asked:
    request = service_pb2.ModelInferRequest(model_name="m")
    for name, (datatype, array) in case.tensors.items():
        one = triton_grpc.InferInput(name, list(array.shape), datatype)
        one.set_data_from_numpy(array)
        request.inputs.append(one._get_tensor())
        request.raw_input_contents.append(one._get_content())
    return Asked(MediaType.OIP_PROTOBUF, request.SerializeToString())


def ask_typed(case: Case) -> Asked | None:
    request = service_pb2.ModelInferRequest(model_name="m")
    for name, (datatype, array) in case.tensors.items():
        if datatype not in CONTENTS:
            return None
        entry = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        getattr(entry.contents, CONTENTS[datatype]).extend(array.ravel().tolist())
    return Asked(MediaType.OIP_PROTOBUF, request.SerializeToString())


def read_oip(body: bytes, head_bytes: int) -> dict[str, Any]:
    head = json.loads(body[: head_bytes or None])
    result = triton_http.InferenceServerClient.parse_response_body(body, header_length=head_bytes or None)
    found = {}
    for output in head["outputs"]:
        array = result.as_numpy(output["name"])
        if (output.get("parameters") or {}).get("content_type") == "base64":
            array = np.array([base64.b64decode(cell) for cell in array.ravel()], object).reshape(array.shape)
        found[output["name"]] = np.zeros(output["shape"], array.dtype) if array.size == 0 else array
    return found


def read_protobuf(body: bytes, _head_bytes: int) -> dict[str, Any]:
    response = service_pb2.ModelInferResponse.FromString(body)
    if response.raw_output_contents:
        result = triton_grpc.InferResult(response)
        return {output.name: result.as_numpy(output.name) for output in response.outputs}
    return {output.name: _typed_array(output) for output in response.outputs}


def _typed_array(output: Any) -> Any:
    values = getattr(output.contents, CONTENTS[output.datatype])
    array = np.array([None] * len(values), object)
    array[:] = list(values)
    dtype = None if output.datatype == "BYTES" else DTYPES.get(output.datatype, output.datatype.lower())
    return (array if dtype is None else array.astype(dtype)).reshape(list(output.shape))


def read_table(table: Any) -> dict[str, Any]:
    return {name: table[name] for name in table.column_names}


def read_mlflow(body: bytes, _head_bytes: int) -> dict[str, Any]:
    return {"predictions": json.loads(body)["predictions"]}


FORMS: dict[str, tuple[Ask, Read]] = {
    "MLflow JSON": (
        lambda case: None if case.body is None else Asked(MediaType.JSON, json.dumps(case.body).encode()),
        read_mlflow,
    ),
    "OIP JSON": (ask_json, read_oip),
    "OIP binary": (ask_binary, read_oip),
    "gRPC typed": (ask_typed, read_protobuf),
    "gRPC raw": (ask_raw, read_protobuf),
    "Arrow": (
        lambda case: Asked(MediaType.ARROW, stream(case.table), answer_type=AnswerType.ARROW),
        lambda body, _: read_table(pa.ipc.open_stream(body).read_all()),
    ),
    "Parquet": (
        lambda case: Asked(MediaType.PARQUET, parquet(case.table), answer_type=AnswerType.PARQUET),
        lambda body, _: read_table(pq.read_table(pa.BufferReader(body))),
    ),
}


def answered(case: Case, form: str) -> tuple[Any, Any, dict[str, Any]] | None:
    """What the model was given, what ``predict`` gives in the process, and what came back; None where the form has no
    way to say the case."""
    ask, read = FORMS[form]
    asked = ask(case)
    if asked is None:
        return None
    inputs: list[Any] = []

    def identity(data: Any, _params: Any) -> Any:
        inputs.append(data)
        return data

    predictor = Predictor("test", Loaded(identity, row_wise=True), Signature(case.specs, case.specs))
    wanted = predictor.predict(case.given)
    [(outcome, body, _, head_bytes)], _ = predictor.answer([asked])
    assert outcome is Outcome.OK, body
    return inputs[-1], wanted, read(body, head_bytes)


OBJECTS = {("Parquet", "BYTES", shape) for shape in ("two rows", "large")}
TENSOR_CELLS = [(datatype, shape, form) for datatype in EXTREMES for shape in SHAPES for form in FORMS]
COLUMN_CELLS = [(kind, count, form) for kind in COLUMNS for count in COUNTS for form in FORMS]


@pytest.mark.parametrize(("datatype", "shape", "form"), TENSOR_CELLS)
def test_an_array_is_given_and_comes_back_as_it_is(datatype: str, shape: str, form: str) -> None:
    found = answered(tensor_case(datatype, SHAPES[shape]), form)
    assert (found is None) == _is_unsayable(form, datatype, shape)
    if found is None:
        return
    given, wanted, back = found
    # Texts in lists of Parquet are objects, as MLflow's scoring server gives them to a model.
    dtype = np.dtype(object) if (form, datatype, shape) in OBJECTS else wanted.dtype
    assert (given.dtype, given.shape, given.tolist()) == (dtype, wanted.shape, wanted.tolist())
    [values] = back.values()
    if form == "MLflow JSON":
        assert values == wanted.tolist()
        return
    cells = values.to_pylist() if isinstance(values, pa.ChunkedArray) else values.tolist()
    if datatype == "BYTES" and not isinstance(values, pa.ChunkedArray):
        cells = [[cell.decode() if isinstance(cell, bytes) else cell for cell in row] for row in cells]
    assert cells == wanted.tolist()
    if isinstance(values, np.ndarray) and datatype != "BYTES":
        assert (values.dtype, values.shape) == (wanted.dtype, wanted.shape)


@pytest.mark.parametrize(("kind", "count", "form"), COLUMN_CELLS)
def test_a_column_is_given_and_comes_back_as_it_is(kind: str, count: str, form: str) -> None:
    found = answered(column_case(kind, COUNTS[count]), form)
    assert (found is None) == _is_unsayable(form, kind, count)
    if found is None:
        return
    given, wanted, back = found
    given, wanted = _plain_cells(given), _plain_cells(wanted)
    pd.testing.assert_frame_equal(given, wanted, check_dtype=COUNTS[count] > 0, check_column_type=False)
    values = back["predictions"] if form == "MLflow JSON" else back["x"]
    if form == "MLflow JSON":
        cells = [row["x"] for row in values]
    else:
        cells = values.to_pylist() if isinstance(values, pa.ChunkedArray) else values.ravel().tolist()
    expected = [_plain(cell) for cell in wanted["x"].tolist()]
    assert [_read_cell(kind, cell) for cell in cells] == expected


def _plain(cell: Any) -> Any:
    if isinstance(cell, pd.Timestamp):
        return cell.to_pydatetime()
    return cell.tolist() if isinstance(cell, np.ndarray) else cell


def _plain_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Arrays in cells as lists: which of the two a nested cell is depends on the form."""
    return frame.assign(x=frame["x"].map(_plain)) if frame["x"].dtype == object else frame


def _read_cell(kind: str, cell: Any) -> Any:
    if kind == "string":
        return cell.decode() if isinstance(cell, bytes) else cell
    if kind == "datetime":
        if isinstance(cell, (bytes, str)):
            return datetime.datetime.fromisoformat(cell.decode() if isinstance(cell, bytes) else cell)
        return cell.to_pydatetime() if isinstance(cell, pd.Timestamp) else cell
    if kind == "map" and isinstance(cell, list):
        return dict(cell)
    is_json = kind in ("array", "object", "map", "any") and isinstance(cell, (bytes, str))
    return json.loads(cell) if is_json else cell


UNSAYABLE = {
    ("MLflow JSON", "BF16"),
    ("MLflow JSON", "binary"),
    ("OIP JSON", "BF16"),
    ("OIP JSON", "binary"),
    ("gRPC typed", "FP16"),
    ("gRPC typed", "BF16"),
}
"""What a form has no way to say, or stock clients none to write."""


def _is_unsayable(form: str, kind: str, size: str) -> bool:
    if (form, kind) == ("OIP JSON", "binary") and size == "no rows":
        return False
    # A JSON list without rows does not say how wide they would be.
    return (form, kind) in UNSAYABLE or (form == "MLflow JSON" and kind in EXTREMES and size == "no rows")


def test_the_page_has_the_table() -> None:
    def row(kind: str) -> str:
        cells = ["–" if (form, kind) in UNSAYABLE else "equal" for form in FORMS]
        return f"| {kind} | {' | '.join(cells)} |"

    head = [f"| | {' | '.join(FORMS)} |", "|---" * (len(FORMS) + 1) + "|"]
    text = PAGE.read_text()
    for kinds in (EXTREMES, COLUMNS):
        assert "\n".join([*head, *map(row, kinds)]) in text
