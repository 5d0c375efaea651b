"""Stock clients of the Open Inference Protocol, unmodified, against ``servery serve``; and the protocol's own OpenAPI
description, by which schemathesis judges every answer."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import schemathesis
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import yaml
from hypothesis import HealthCheck, given, settings
from open_inference.openapi.client import InferenceRequest, OpenInferenceClient
from open_inference.openapi.errors import BadRequestError
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

import servery
from tests.servers import Server, serving

MODEL = "scores"
ROWS = np.array([[1.0, 0.0], [4.0, 0.0]])
SLOW = 9.0
"""In the second column: the model sleeps."""
OPEN_INFERENCE = Path(__file__).with_name("open_inference")
KSERVE = "kserve==0.21.0"
"""It pins fastapi, and mlflow asks for another: it gets an environment of its own."""


def scores(frame: pd.DataFrame) -> pd.DataFrame:
    import time

    import numpy
    import pandas

    if (frame["b"] == 9.0).any():
        time.sleep(1.0)
    labels = ["big" if value > 1 else "small" for value in frame["a"]]
    columns = {"score": (frame["a"] / 2).astype(numpy.float32), "label": labels, "n": frame["a"].astype("int64")}
    return pandas.DataFrame(columns)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("open-inference") / MODEL
    example = pd.DataFrame(ROWS, columns=["a", "b"])
    servery.save_model(scores, folder, input_example=example, requirements=["numpy", "pandas"])
    with serving(folder, tmp_path_factory.mktemp("open-inference") / "home") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}", network_timeout=30.0) as made:
        yield made


def table(*, binary: bool = True, rows: Any = ROWS) -> list[Any]:
    made = triton.InferInput("rows", list(rows.shape), "FP64")
    return [made.set_data_from_numpy(rows, binary_data=binary)]


def answered(result: Any) -> dict[str, Any]:
    names = [output["name"] for output in result.get_response()["outputs"]]
    return {name: result.as_numpy(name) for name in names}


def check_scores(arrays: dict[str, Any]) -> None:
    assert list(arrays) == ["score", "label", "n"]
    assert (arrays["score"].dtype, arrays["score"].tolist()) == (np.float32, [0.5, 2.0])
    texts = [cell.decode() if isinstance(cell, bytes) else cell for cell in arrays["label"].tolist()]
    assert texts == ["small", "big"]
    assert (arrays["n"].dtype, arrays["n"].tolist()) == (np.int64, [1, 4])


# tritonclient.


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("version", ["", "1"])
def test_triton_s_client_gets_what_the_model_gives(client: Any, version: str, *, binary: bool) -> None:
    outputs = (
        None if binary else [triton.InferRequestedOutput(name, binary_data=False) for name in ("score", "label", "n")]
    )
    result = client.infer(MODEL, table(binary=binary), version, outputs, request_id="7")
    check_scores(answered(result))
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == (MODEL, "1", "7")


def test_triton_s_client_gets_the_outputs_that_it_names_each_in_its_form(client: Any) -> None:
    wanted = [triton.InferRequestedOutput("n"), triton.InferRequestedOutput("score", binary_data=False)]
    arrays = answered(client.infer(MODEL, table(), outputs=wanted))
    assert {name: array.tolist() for name, array in arrays.items()} == {"n": [1, 4], "score": [0.5, 2.0]}


def test_triton_s_client_sends_one_tensor_a_column(client: Any) -> None:
    columns = []
    for place, name in enumerate("ab"):
        column = triton.InferInput(name, [2], "FP64")
        columns.append(column.set_data_from_numpy(ROWS[:, place]))
    check_scores(answered(client.infer(MODEL, columns)))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_triton_s_client_compresses_what_it_sends_and_reads(client: Any, coding: str, *, binary: bool) -> None:
    rows = np.repeat(ROWS, 5000, axis=0)
    result = client.infer(
        MODEL,
        table(binary=binary, rows=rows),
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
        outputs=[triton.InferRequestedOutput("score", binary_data=binary)],
    )
    assert result.as_numpy("score").tolist() == [0.5] * 5000 + [2.0] * 5000


def test_triton_s_client_reads_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready(MODEL, "2")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "servery"
    metadata = client.get_model_metadata(MODEL)
    assert metadata == client.get_model_metadata(MODEL, "1")
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == (MODEL, ["1"], "mlflow_pyfunc")
    assert metadata["inputs"] == [{"name": name, "datatype": "FP64", "shape": [-1]} for name in "ab"]
    assert [(output["name"], output["datatype"]) for output in metadata["outputs"]] == [
        ("score", "FP32"),
        ("label", "BYTES"),
        ("n", "INT64"),
    ]


def test_triton_s_client_reads_the_configuration(client: Any) -> None:
    config = client.get_model_config(MODEL)
    assert (config["name"], config["platform"], config["backend"]) == (MODEL, "mlflow_pyfunc", "servery")
    assert config["max_batch_size"] > 0
    assert config["input"][0] == {"name": "a", "data_type": "TYPE_FP64", "dims": []}
    assert [tensor["data_type"] for tensor in config["output"]] == ["TYPE_FP32", "TYPE_STRING", "TYPE_INT64"]


def test_triton_s_client_reads_statistics_that_count(client: Any) -> None:
    [before] = client.get_inference_statistics(MODEL)["model_stats"]
    client.infer(MODEL, table())
    with pytest.raises(triton.InferenceServerException):
        client.infer(MODEL, table(rows=np.ones((1, 3))))
    [after] = client.get_inference_statistics(MODEL, "1")["model_stats"]
    assert [after[name] - before[name] for name in ("inference_count", "execution_count")] == [1, 2]
    for name in ("success", "fail"):
        assert after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"] == 1
        assert after["inference_stats"][name]["ns"] > before["inference_stats"][name]["ns"]
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert [batch["batch_size"] for batch in after["batch_stats"]] == [1]
    assert client.get_inference_statistics()["model_stats"][0]["name"] == MODEL


def test_triton_s_client_reads_the_repository_and_may_load_what_is_served(client: Any) -> None:
    assert client.get_model_repository_index() == [{"name": MODEL, "version": "1", "state": "READY", "reason": ""}]
    client.load_model(MODEL)
    with pytest.raises(triton.InferenceServerException, match="'parameters' cannot change that"):
        client.load_model(MODEL, config="{}")
    with pytest.raises(triton.InferenceServerException, match="not here"):
        client.unload_model(MODEL)
    with pytest.raises(triton.InferenceServerException, match="'other' not found"):
        client.load_model("other")
    assert client.is_model_ready(MODEL)


def test_triton_s_client_is_told_what_is_wrong_and_answered_next(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match=r"\[400\] Input 'rows' of shape \[1, 3\] is none"):
        client.infer(MODEL, table(rows=np.ones((1, 3))))
    with pytest.raises(triton.InferenceServerException, match=r"\[404\] Model 'other' not found"):
        client.infer("other", table())
    with pytest.raises(triton.InferenceServerException, match=r"\[404\] Model 'scores' has no version '2'"):
        client.infer(MODEL, table(), "2")
    check_scores(answered(client.infer(MODEL, table(), priority=1)))


@pytest.mark.parametrize("binary", [True, False])
def test_a_request_that_cannot_be_answered_within_its_timeout_is_told_so(client: Any, *, binary: bool) -> None:
    slow = table(rows=np.array([[1.0, SLOW]]), binary=binary)
    with pytest.raises(triton.InferenceServerException, match=r"\[504\] .* deadline of 0.1 s"):
        client.infer(MODEL, slow, timeout=100_000)
    check_scores(answered(client.infer(MODEL, table(), timeout=20_000_000)))


def test_triton_s_asyncio_client_gets_what_the_model_gives(server: Server) -> None:
    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.port}") as asking:
            assert await asking.is_model_ready(MODEL)
            assert (await asking.get_model_metadata(MODEL))["versions"] == ["1"]
            return await asyncio.gather(*(asking.infer(MODEL, table()) for _ in range(20)))

    for result in asyncio.run(ask()):
        check_scores(answered(result))


# The client that is made of the OpenAPI description.


def test_the_generated_client_gets_what_the_model_gives(server: Server) -> None:
    generated = OpenInferenceClient(base_url=server.url)
    generated.check_server_liveness()
    generated.check_server_readiness()
    generated.check_model_readiness(MODEL)
    generated.check_model_version_readiness(MODEL, "1")
    assert generated.read_server_metadata().name == "servery"
    assert generated.read_model_metadata(MODEL) == generated.read_model_version_metadata(MODEL, "1")
    rows: dict[str, Any] = {"name": "rows", "shape": [2, 2], "datatype": "FP64", "data": ROWS.tolist()}
    answer = generated.model_infer(MODEL, request=InferenceRequest(id="7", inputs=[rows]))
    assert (answer.model_name, answer.id, answer.outputs[0].shape) == (MODEL, "7", [2])
    rows["shape"] = [2, 3]
    with pytest.raises(BadRequestError, match="expected lists of 3 values"):
        generated.model_version_infer(MODEL, "1", request=InferenceRequest(inputs=[rows]))


# KServe's.


@pytest.mark.timeout(900)
def test_kserve_s_client_gets_what_the_model_gives(server: Server, tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).parents[2] / ".tools" / "bin" / "uv")
    online = {**os.environ, "UV_OFFLINE": "0"}
    interpreter = tmp_path / "kserve" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, interpreter.parents[1]], env=online, check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, KSERVE], env=online, check=True)
    command = [str(interpreter), str(OPEN_INFERENCE / "kserve_client.py"), server.url, MODEL]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert [told[name] for name in ("live", "ready", "model", "other")] == [True, True, True, False]
    for form in ("json", "binary"):
        assert told[form] == ["7", MODEL, "FP32", [0.5, 1.0]]
    assert "'inputs' is expected to have at least one tensor" in told["error"]


# The description itself.

SPEC = yaml.safe_load((OPEN_INFERENCE / "open_inference_rest.yaml").read_text().replace("${", "{"))
"""Its paths have a ``$`` before each parameter's brace, which OpenAPI takes for a part of the address."""


@pytest.mark.parametrize("path", SPEC["paths"])
@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(server: Server, path: str, mode: GenerationMode) -> None:
    """The description does not know what a model takes: that a request fits it does not make it one to be accepted."""
    [method] = SPEC["paths"][path].keys() - {"parameters"}
    operation = schemathesis.openapi.from_dict(SPEC)[path][method.upper()]
    if mode is GenerationMode.NEGATIVE and "requestBody" not in SPEC["paths"][path][method]:
        return  # Nothing but names of models and versions could be wrong.

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def judge(case: Any) -> None:
        if case.path_parameters:
            case.path_parameters |= {"MODEL_NAME": MODEL, "MODEL_VERSION": "1"}
        case.call_and_validate(base_url=server.url, excluded_checks=[positive_data_acceptance])

    judge()


@pytest.mark.parametrize("path", ["", "/versions/1"])
def test_an_answer_is_as_the_description_has_it(server: Server, path: str) -> None:
    """What schemathesis makes up is no request that the model takes; this one is."""
    rows = {"name": "rows", "shape": [2, 2], "datatype": "FP64", "data": ROWS.tolist()}
    answer = httpx.post(f"{server.url}/v2/models/{MODEL}{path}/infer", json={"inputs": [rows], "id": "7"})
    operation = schemathesis.openapi.from_dict(SPEC)["/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}/infer"]["POST"]
    operation.validate_response(answer)
    assert answer.status_code == 200
