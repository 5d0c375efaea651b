"""A flavor that another distribution brings: its models are saved, served, and loaded by a stock mlflow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from pathlib import Path

import httpx
import pytest

from tests.servers import serving

PLUGIN = Path(__file__).parent.parent / "plugins" / "servery-recipe"

AUTHOR = """
import sys

import pandas as pd
import servery
from servery_recipe import Recipe

prices = pd.DataFrame({"flour": [0.001, 0.002], "butter": [0.01, 0.012]})
servery.save_model(Recipe(flour=500, butter=250), sys.argv[1], input_example=prices)
"""

READER = """
import sys

import mlflow.pyfunc
import pandas as pd

prices = pd.DataFrame({"flour": [0.001, 0.002], "butter": [0.01, 0.012]})
print(mlflow.pyfunc.load_model(sys.argv[1]).predict(prices))
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has what the tests' one has, and the plugin."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    ours = sysconfig.get_path("purelib")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    install(PLUGIN, packages)
    return folder / "bin" / "python"


def install(distribution: Path, packages: Path) -> None:
    """Make in ``packages`` what an installer makes of the distribution; no build tool has to be there."""
    project = tomllib.loads((distribution / "pyproject.toml").read_text())["project"]
    module = project["name"].replace("-", "_") + ".py"
    about = packages / f"{module[:-3]}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()) for group, points in groups
    ]
    (about / "entry_points.txt").write_text("".join(lines))
    (about / "RECORD").write_text(f"{module},,\n{about.name}/METADATA,,\n{about.name}/entry_points.txt,,\n")
    shutil.copy(distribution / module, packages)


def run(interpreter: Path, script: str, *arguments: object) -> str:
    command = [str(interpreter), "-W", "ignore", "-c", script, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def package(interpreter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "cake"
    run(interpreter, AUTHOR, folder)
    return folder


def test_the_package_requires_the_distribution_of_its_flavor(package: Path) -> None:
    assert "servery-recipe==1.0" in (package / "requirements.txt").read_text().splitlines()


def test_its_model_is_served(interpreter: Path, package: Path, tmp_path: Path) -> None:
    body = {"dataframe_split": {"columns": ["butter", "flour"], "data": [[0.01, 0.001], [0.02, 0.003]]}}
    with serving(package, tmp_path / "home", interpreter=str(interpreter)) as server:
        answer = httpx.post(f"{server.url}/invocations", json=body, timeout=20)
    assert answer.json() == {"predictions": [pytest.approx(3.0), pytest.approx(6.5)]}


def test_a_stock_mlflow_loads_it(interpreter: Path, package: Path) -> None:
    assert json.loads(run(interpreter, READER, package)) == [pytest.approx(3.0), pytest.approx(4.0)]


def test_where_the_distribution_is_missing_it_does_not_load(package: Path) -> None:
    from servery.errors import LoadFailed
    from servery.package import load_folder

    with pytest.raises(LoadFailed, match="'servery_recipe' cannot be imported"):
        load_folder(package)
