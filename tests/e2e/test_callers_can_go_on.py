"""A version that callers of the one before cannot call is said to be one, and takes a word to be deployed."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import RestException

import servery
from servery.errors import RemoteError
from tests.servers import Both

MISSING = "Input column 'y' is new and required."
REFUSED = (
    "Callers of sum/1 at endpoint '{}' cannot call sum/2: Input column 'y' is new and required; "
    "insist with --allow-incompatible (allow_incompatible in a request)."
)


@pytest.fixture(scope="module", autouse=True)
def packages(tmp_path_factory: pytest.TempPathFactory, both: Both) -> Path:
    """Three versions of the model sum: the second takes a column more than the others."""
    folder = tmp_path_factory.mktemp("packages")
    with servery.Client(both.up.url) as client:
        for version, names in enumerate((["x"], ["x", "y"], ["x"]), start=1):
            example = pd.DataFrame({name: [1, 2] for name in names})
            servery.save_model(lambda data: data.sum(axis=1), folder / str(version), input_example=example)
            client.register(folder / str(version), "sum")
    return folder


def run(both: Both, line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "servery.cli.main", *shlex.split(line), "--server", both.up.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def serves(client: servery.Client, endpoint: str) -> list[str]:
    return [entity.uri for entity in client.endpoint(endpoint).entities]


def test_registering_says_what_callers_of_the_version_before_would_miss(
    both: Both, client: servery.Client, packages: Path
) -> None:
    version = client.register(packages / "2", "other")
    assert (version.previous_version, version.incompatibilities) == (None, ())
    version = client.register(packages / "1", "other")
    assert (version.previous_version, version.incompatibilities) == (1, ())
    version = client.register(packages / "2", "other")
    assert (version.previous_version, version.incompatibilities) == (2, (MISSING,))

    printed = (
        run(both, f"register {packages / '1'} --name other").stdout
        + run(both, f"register {packages / '2'} --name other").stdout
    )
    assert [line for line in printed.splitlines() if "Incompatible" in line] == [
        f"Incompatible with version 4: {MISSING}"
    ]
    query = {"name": "other", "version": "5"}
    answer = httpx.get(f"{both.up.url}/api/2.0/servery/model-versions", params=query).json()
    assert (answer["previous_version"], answer["incompatibilities"]) == ("4", [MISSING])
    # A version that is gone has no callers.
    client.delete_version("other", 4)
    assert client.version("other", 5).previous_version == 3
    assert client.version("other", 5).incompatibilities == ()


def test_deploying_over_a_version_whose_callers_cannot_call_it_takes_a_word(both: Both, client: servery.Client) -> None:
    client.deploy("worded", "models:/sum/1")

    with pytest.raises(RemoteError) as refused:
        client.deploy("worded", "models:/sum/2")
    assert refused.value.message == REFUSED.format("worded")
    assert (refused.value.status, refused.value.error_code) == (400, "INVALID_STATE")
    ran = run(both, "deploy worded models:/sum/1=90 models:/sum/2=10")
    assert (ran.returncode, ran.stderr) == (1, f"servery: {REFUSED.format('worded')}\n")
    assert serves(client, "worded") == ["models:/sum/1"]

    assert client.deploy("worded", "models:/sum/3").entities[0].version == 3
    ran = run(both, "deploy worded models:/sum/2 --allow-incompatible")
    assert ran.returncode == 0, ran.stderr
    assert serves(client, "worded") == ["models:/sum/2"]
    # To go back is the rescue: that needs no word, though callers of 2 read nothing else from 3.
    assert client.rollback("worded").entities[0].version == 3
    assert client.deploy("worded", "models:/sum/2", allow_incompatible=True).entities[0].version == 2


def test_an_alias_moves_no_endpoint_without_the_word_whoever_moves_it(both: Both, client: servery.Client) -> None:
    client.set_alias("sum", "champion", 1)
    client.deploy("follows", "models:/sum@champion")
    stock = MlflowClient(both.up.url, both.up.url)
    word = "'servery models alias sum champion 2 --allow-incompatible' (allow_incompatible in a request)"

    with pytest.raises(RestException) as refused:
        stock.set_registered_model_alias("sum", "champion", "2")
    assert refused.value.error_code == "INVALID_STATE"
    assert f"cannot call sum/2: {MISSING.rstrip('.')}; insist with {word}." in refused.value.message
    with pytest.raises(RemoteError, match="insist with 'servery models alias"):
        client.set_alias("sum", "champion", 2)
    assert client.resolve("models:/sum@champion").version == 1

    stock.set_registered_model_alias("sum", "champion", "3")
    assert serves(client, "follows") == ["models:/sum/3"]
    stock.set_registered_model_alias("sum", "nobody-follows", "2")
    ran = run(both, "models alias sum champion 2 --allow-incompatible")
    assert (ran.returncode, "Endpoint follows has moved to it." in ran.stdout) == (0, True), ran.stderr
    assert serves(client, "follows") == ["models:/sum/2"]
