"""``mlflow models serve`` and ``servery serve`` side by side: the same model, the same requests over HTTP."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mlflow.sklearn
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.servers import START_SECONDS, free_port, serving, wait_until

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
FRAME, SPECIES = load_iris(as_frame=True, return_X_y=True)
ROWS = FRAME.iloc[[0, 70, 140]]
NAMES = list(FRAME.columns)


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of mlflow's server and of ours."""
    root = tmp_path_factory.mktemp("served")
    model = LogisticRegression(max_iter=500).fit(FRAME, SPECIES)
    signature = infer_signature(FRAME, model.predict(FRAME))
    mlflow.sklearn.save_model(model, str(root / "iris"), signature=signature, pip_requirements=["scikit-learn"])
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(root / "iris"), "-p", str(port)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (root / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--env-manager", "local"], stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        with serving(root / "iris", root / "home") as ours:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(url), "mlflow models serve answers", timeout_seconds=START_SECONDS)
            yield url, ours.url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ping", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


REQUESTS: list[tuple[str | None, bytes]] = [
    (JSON, _json({"dataframe_split": ROWS.to_dict(orient="split")})),
    (JSON, _json({"dataframe_records": ROWS[NAMES[::-1]].to_dict(orient="records")})),
    (JSON, _json({"inputs": ROWS.to_dict(orient="list")})),
    (JSON, _json({"instances": ROWS.to_dict(orient="records")})),
    ("application/json; charset=utf-8", _json({"dataframe_split": ROWS.to_dict(orient="split")})),
    (CSV, ROWS.to_csv(index=False).encode()),
    (PARQUET, _parquet(ROWS)),
    (JSON, _json({"dataframe_records": [dict.fromkeys(NAMES, "1.5")]})),
    (JSON, _json({"dataframe_records": [dict.fromkeys(NAMES, "x")]})),
    (JSON, _json({"dataframe_records": [dict.fromkeys(NAMES)]})),
    (JSON, _json({"dataframe_records": [dict.fromkeys(NAMES[:3], 1.5)]})),
    (JSON, _json({"dataframe_split": {"columns": NAMES, "data": [[1.5]]}})),
    (JSON, _json({"inputs": ROWS.to_numpy().tolist()})),
    (JSON, _json({"data": [[1]]})),
    (JSON, b"{broken"),
    (JSON, b""),
    (CSV, b"a,b\n1,2\n"),
    (CSV, b"\xff"),
    (PARQUET, b"PAR1"),
    (PARQUET, _parquet(ROWS.astype(str))),
    ("text/plain", b"{}"),
    ("application/json; charset=latin-1", b"{}"),
    ("application/json; version=2", b"{}"),
]


@pytest.mark.parametrize(("content_type", "body"), REQUESTS, ids=[f"{kind}-{body[:50]!r}" for kind, body in REQUESTS])
def test_both_servers_answer_alike(content_type: str, body: bytes, addresses: tuple[str, str]) -> None:
    theirs, ours = (
        httpx.post(f"{url}/invocations", content=body, headers={"Content-Type": content_type}, timeout=30)
        for url in addresses
    )
    assert ours.status_code == theirs.status_code
    if theirs.status_code == 200:
        assert ours.json() == theirs.json()
    elif theirs.status_code != 415:  # mlflow says that in plain text.
        assert ours.json()["error_code"] == theirs.json()["error_code"]


def test_a_body_without_a_content_type_is_refused_where_mlflow_breaks(addresses: tuple[str, str]) -> None:
    statuses = [httpx.post(f"{url}/invocations", content=b"{}").status_code for url in addresses]
    assert statuses == [500, 415]
