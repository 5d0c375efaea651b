"""A damaged package is refused with the name of the file at fault, wherever it is taken in."""

from __future__ import annotations

import http.client
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import mlflow
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sklearn.linear_model import LinearRegression, LogisticRegression

import servery
from servery.errors import PackageInvalid
from servery.package.manifest import manifest_of_folder
from servery.package.mlmodel import parse_mlmodel
from tests.models import save_echo
from tests.servers import Both, free_port, wait_until

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 1.0]})
SEAL = "manifest.json"


def save(model: object, folder: Path) -> Path:
    servery.save_model(model, folder, input_example=FRAME, requirements=["numpy"])
    return folder


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sealed")

    def total(frame: pd.DataFrame) -> pd.Series:
        return frame["a"] + frame["b"]

    return {
        "sklearn": save(LogisticRegression().fit(FRAME, [0, 1, 1]), folder / "sklearn"),
        "function": save(total, folder / "function"),
    }


@pytest.fixture
def package(sealed: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed["function"], tmp_path / "package"))


def files_of(package: Path) -> list[str]:
    return [file.path for file in manifest_of_folder(package).files]


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def refused(package: Path, named: str) -> str:
    with pytest.raises(PackageInvalid) as raised:
        servery.load_model(str(package))
    assert named in raised.value.message
    assert "\n" not in raised.value.message
    return raised.value.message


@pytest.mark.parametrize("flavor", ["sklearn", "function"])
def test_one_bit_flipped_in_any_file_is_refused_with_its_name(
    flavor: str, sealed: dict[str, Path], tmp_path: Path
) -> None:
    package = Path(shutil.copytree(sealed[flavor], tmp_path / "package"))
    choose = random.Random(0)
    for path in files_of(package):
        file = package / path
        whole = file.read_bytes()
        for bit in (0, len(whole) * 8 - 1, *(choose.randrange(len(whole) * 8) for _ in range(20))):
            flip(file, bit)
            refused(package, path)
            file.write_bytes(whole)
    assert len(servery.load_model(str(package)).predict(FRAME)) == 3


def test_a_truncated_file_is_refused_with_its_name(package: Path) -> None:
    for path in files_of(package):
        whole = (package / path).read_bytes()
        for length in (0, len(whole) // 2, len(whole) - 1):
            (package / path).write_bytes(whole[:length])
            refused(package, path)
        (package / path).write_bytes(whole)


def test_a_missing_file_is_refused_with_its_name(package: Path) -> None:
    for path in files_of(package):
        whole = (package / path).read_bytes()
        (package / path).unlink()
        if path != SEAL:
            refused(package, path)
        (package / path).write_bytes(whole)


@pytest.mark.parametrize("path", ["extra", "code/json.py", "a/b/c", "registered_model_meta/x"])
def test_an_added_file_is_refused_with_its_name(package: Path, path: str) -> None:
    (package / path).parent.mkdir(parents=True, exist_ok=True)
    (package / path).write_bytes(b"")
    refused(package, f"'{path}' that manifest.json does not list")


def test_a_flavor_file_of_another_model_is_refused_with_its_name(sealed: dict[str, Path], package: Path) -> None:
    shutil.copyfile(sealed["sklearn"] / "model.pkl", package / "model.pkl")
    message = refused(package, "'model.pkl' is not what was saved")
    assert message.endswith("if that was meant, delete manifest.json.")


def test_two_files_that_were_swapped_are_refused(package: Path) -> None:
    (package / "conda.yaml").rename(package / "kept")
    (package / "python_env.yaml").rename(package / "conda.yaml")
    (package / "kept").rename(package / "python_env.yaml")
    refused(package, "'conda.yaml'")


def test_a_change_that_was_meant_is_taken_once_the_seal_is_gone(package: Path) -> None:
    (package / SEAL).unlink()
    (package / "README.txt").write_text("a note")
    assert len(servery.load_model(str(package)).predict(FRAME)) == 3


def test_what_stock_tools_add_is_no_damage(package: Path) -> None:
    (package / "registered_model_meta").write_text("model_name: spam\nmodel_version: '1'\n")
    (package / "code" / "__pycache__").mkdir(exist_ok=True)
    (package / "code" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    assert len(servery.load_model(str(package)).predict(FRAME)) == 3


def test_stock_mlflow_loads_a_sealed_package(package: Path) -> None:
    assert mlflow.pyfunc.load_model(str(package)).predict(FRAME).tolist() == [1.0, 3.0, 4.0]


def test_a_link_is_refused_with_its_name_in_a_package_without_a_seal(tmp_path: Path) -> None:
    package = tmp_path / "stock"
    model = LinearRegression().fit(FRAME, [1, 2, 3])
    mlflow.sklearn.save_model(model, str(package), pip_requirements=["scikit-learn"])
    (package / "requirements.txt").rename(package / "elsewhere.txt")
    (package / "requirements.txt").symlink_to("elsewhere.txt")
    refused(package, "'requirements.txt' is a link")


@pytest.mark.parametrize("command", ["serve", "register"])
def test_the_commands_refuse_a_damaged_folder_with_the_files_name(package: Path, tmp_path: Path, command: str) -> None:
    flip(package / "requirements.txt", 3)
    more = {"serve": ("-p", str(free_port()), "--home", str(tmp_path / "home")), "register": ("--name", "spam")}
    script = [sys.executable, "-m", "servery.cli.main", command, str(package), *more[command]]
    ended = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "'requirements.txt' is not what was saved; if that was meant, delete manifest.json" in " ".join(
        (ended.stdout + ended.stderr).split()
    )


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped bit": (lambda package: flip(package / "model.pkl", 100), "'model.pkl' is not what was saved"),
    "a flipped bit in the seal": (lambda package: flip(package / SEAL, 100), "'manifest.json' is not what was saved"),
    "a missing file": (lambda package: (package / "conda.yaml").unlink(), "lacks the file 'conda.yaml'"),
    "an added file": (lambda package: (package / "code" / "json.py").touch(), "has the file 'code/json.py'"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_package_that_a_stock_client_uploads_damaged_is_no_version(
    both: Both, package: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", both.up.url)
    damage, named = DAMAGE[case]
    damage(package)
    name, stock = f"damaged-{list(DAMAGE).index(case)}", MlflowClient(both.up.url, both.up.url)
    get_artifact_repository(f"mlflow-artifacts:/uploads/{name}").log_artifacts(str(package))
    stock.create_registered_model(name)
    with pytest.raises(MlflowException, match=named):
        stock.create_model_version(name, source=f"mlflow-artifacts:/uploads/{name}")
    assert list(stock.search_model_versions(f"name = '{name}'")) == []


def test_a_version_that_a_stock_client_downloaded_is_registered_again(
    both: Both, client: servery.Client, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", both.up.url)
    client.register(package, name="around")
    copy = mlflow.artifacts.download_artifacts("models:/around/1", dst_path=str(tmp_path / "copy"))
    assert client.register(copy, name="around").version == 2


def test_a_damaged_copy_in_the_home_folder_is_fetched_anew(
    both: Both, client: servery.Client, package: Path, tmp_path: Path
) -> None:
    (package / SEAL).unlink()  # As a stock mlflow saves: only the registry knows what the files were.
    version = client.register(package, name="kept")
    for damage in (lambda kept: flip(kept / "model.pkl", 9), lambda kept: (kept / "code" / "numpy.py").touch()):
        servery.load_model(version.uri, server=both.up.url, home=tmp_path)
        damage(tmp_path / "packages" / str(version.digest))
        model = servery.load_model(version.uri, server=both.up.url, home=tmp_path)
        assert model.predict(FRAME).tolist() == [1.0, 3.0, 4.0]
        assert manifest_of_folder(tmp_path / "packages" / str(version.digest)).digest == version.digest
    assert [kept.name for kept in (tmp_path / "packages").iterdir() if not kept.name.startswith(".")] == [
        version.digest
    ]


OUTSIDE = (
    *("../x", "a/../../x", "%2e%2e/x", "a/%2e%2e/%2e%2e/x", "..%2fx", "a/./x", "/etc/passwd", "a//b"),
    *("a%5c..%5cx", "a%00b", "x" * 1025),
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_outside_the_folder_is_not_uploaded(both: Both, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", both.up.port, timeout=10)  # It sends a path as it is.
    connection.request("PUT", f"/api/2.0/mlflow-artifacts/artifacts/uploads/odd/{path}", body=b"x")
    answer = connection.getresponse()
    assert answer.status == 400, answer.read()
    connection.close()


def test_a_damaged_copy_on_the_gateway_is_fetched_anew(both: Both, client: servery.Client, tmp_path: Path) -> None:
    version = client.register(save_echo(tmp_path / "echo", version=1), name="mended", alias="champion")
    client.deploy("mended", "models:/mended@champion")
    [kept] = both.home.rglob(f"packages/{version.digest}/package")
    whole = {path: (kept / path).read_bytes() for path in files_of(kept)}
    for path in ("model.pkl", "MLmodel"):
        flip(kept / path, 100)
    (kept / "code" / "planted.py").write_text("raise SystemExit")

    for worker in workers_of(both, "mended"):
        worker.kill()

    wait_until(lambda: answers(both, "mended"), "a worker has the mended package", timeout_seconds=60)
    assert {path: (kept / path).read_bytes() for path in files_of(kept)} == whole
    log = both.home.with_name(f"{both.home.name}.log").read_text()
    assert "'MLmodel' is not what was registered" in log


def workers_of(both: Both, model: str) -> list[psutil.Process]:
    return [worker for worker in both.up.workers() if model in " ".join(worker.cmdline())]


def answers(both: Both, endpoint: str) -> bool:
    url = f"{both.gateway_url}/endpoints/{endpoint}/invocations"
    response = httpx.post(url, json={"inputs": [[5, 0]]}, timeout=10)
    return response.status_code == 200 and response.json() == {"predictions": [[1, 5, 5]]}


TOKENS = (
    *("&a ", "*a", "<<: ", "!!int ", "!!float ", "!!timestamp ", "!!binary ", "!!set ", "!!bool ", "? ", "- ", ": "),
    *("[", "]", "{", "}", "'", '"', "\t", "\n", "\0", "\ufeff", "%YAML 1.2\n", "---\n", "|\n", "0x", "1:2:3", ".nan"),
    *("2024-99-99", "1e999", "~", "../", '"\\ud800"', "9" * 50, "#", "!!python/object:os.x ", "!!merge ", "null"),
)


def test_a_spoiled_mlmodel_is_read_or_refused_in_one_sentence(sealed: dict[str, Path]) -> None:
    choose = random.Random(0)
    texts = [(package / "MLmodel").read_bytes() for package in sealed.values()]
    for _ in range(1500):
        text = bytearray(choose.choice(texts))
        for _ in range(choose.randint(1, 3)):
            place = choose.randrange(len(text))
            how = choose.choice(("insert", "insert", "remove", "flip", "cut"))
            if how == "insert":
                text[place:place] = choose.choice(TOKENS).encode()
            elif how == "remove":
                del text[place : place + choose.randint(1, 30)]
            elif how == "flip":
                text[place] ^= 1 << choose.randrange(8)
            else:
                text = text[: max(place, 1)]
        message = complaint(bytes(text))
        if message is not None:
            assert "MLmodel" in message
            assert message.isprintable()
            assert len(message) < 700


def complaint(text: bytes) -> str | None:
    try:
        parse_mlmodel(text)
    except PackageInvalid as error:
        return error.message
    return None
