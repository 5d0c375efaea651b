"""Environments made by uv, for real, from a folder of small wheels and without a network."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from servery.clock import SystemClock
from servery.config import EnvManager, PackageSources, package_sources
from servery.errors import EnvironmentFailed, ModelError, NotFound
from servery.package.lock import write_lock
from servery.package.uv import find_uv, uv_variables
from servery.workers.environments.store import Environments, Lease
from tests.leasers import MAKING, Leaser
from tests.servers import wait_until
from tests.wheels import make_source, make_wheel

pytestmark = pytest.mark.anyio

MLMODEL = {"flavors": {"python_function": {"loader_module": "mlflow.sklearn"}}}

BUILDS_ITSELF = """
import os, zipfile

def build_wheel(folder, settings=None, metadata=None):
    name = "{name}-1.0-py3-none-any.whl"
    about = "{name}-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("{name}.py", "seen = " + repr(dict(os.environ)))
        archive.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        archive.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(about + "RECORD", "")
    return name
"""
FAILS_TO_BUILD = "def build_wheel(*_):\n    raise RuntimeError('the oven is cold')\n"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "flour", "1.0")
    make_wheel(folder, "flour", "2.0")
    make_wheel(folder, "brioche", "1.0", requires=["flour"])
    make_wheel(folder, "cake", "1.0", requires=["flour<2", "butter"])
    make_source(folder, "dough", "1.0", BUILDS_ITSELF.replace("{name}", "dough"))
    make_source(folder, "stone", "1.0", FAILS_TO_BUILD)
    return folder


@pytest.fixture
def sources(wheels: Path, tmp_path: Path) -> PackageSources:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_CACHE_DIR": str(wheels / "cache")}
    return PackageSources(find_links=(str(wheels),), no_index=True, offline=True, variables=variables)


@pytest.fixture
def environments(tmp_path: Path, sources: PackageSources) -> Environments:
    return of_folder(tmp_path / "environments", sources)


def of_folder(folder: Path, sources: PackageSources, seconds: float = 60.0) -> Environments:
    return Environments(folder, EnvManager.UV, sources, SystemClock(), build_timeout_seconds=seconds)


def package(folder: Path, requirements: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(requirements)
    return folder


def run(lease: Lease, code: str) -> str:
    return subprocess.check_output([lease.interpreter, "-I", "-c", code], text=True).strip()


async def test_a_package_gets_what_it_requires(environments: Environments, tmp_path: Path) -> None:
    lease = await environments.lease(package(tmp_path / "model", "brioche\nflour==1.0\n"), MLMODEL)
    assert run(lease, "import brioche, flour; print(brioche.version, flour.version)") == "1.0 1.0"
    lease.close()


async def test_it_gets_nothing_else(environments: Environments, tmp_path: Path) -> None:
    lease = await environments.lease(package(tmp_path / "model", "flour\n"), MLMODEL)
    code = "import importlib.util as u; print([n for n in ('servery', 'numpy', 'pip', 'msgspec') if u.find_spec(n)])"
    assert run(lease, code) == "[]"
    lease.close()


async def test_packages_that_require_the_same_share_one(environments: Environments, tmp_path: Path) -> None:
    one = await environments.lease(package(tmp_path / "one", "flour==1.0\n"), MLMODEL)
    said: list[str] = []
    two = await environments.lease(package(tmp_path / "two", "flour==1.0  # the same\n"), MLMODEL, said.append)
    other = await environments.lease(package(tmp_path / "three", "flour==2.0\n"), MLMODEL)
    assert one.interpreter == two.interpreter != other.interpreter
    assert not any("virtual environment" in text for text in said)
    for lease in (one, two, other):
        lease.close()


async def test_a_wheel_of_the_package_itself_is_installed(environments: Environments, tmp_path: Path) -> None:
    folder = package(tmp_path / "model", "wheels/own-3.0-py3-none-any.whl\n")
    make_wheel(folder / "wheels", "own", "3.0")
    lease = await environments.lease(folder, MLMODEL)
    assert run(lease, "import own; print(own.version)") == "3.0"
    lease.close()


async def test_a_lock_is_kept_to_its_hashes(
    environments: Environments, tmp_path: Path, sources: PackageSources, wheels: Path
) -> None:
    folder = package(tmp_path / "model", "brioche\n")
    write_lock(folder, sources)
    lease = await environments.lease(folder, MLMODEL)
    assert run(lease, "import flour; print(flour.version)") == "2.0"
    lease.close()
    lock = (folder / "requirements.lock").read_text()
    start = lock.index("sha256:", lock.index("brioche")) + len("sha256:")
    (folder / "requirements.lock").write_text(lock[:start] + "0" * 64 + lock[start + 64 :])
    with pytest.raises(EnvironmentFailed, match=r"[Hh]ash"):
        await environments.lease(folder, MLMODEL)


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        ("flour==9.9\n", "there is no version of flour==9.9"),
        ("butter==1.0\n", "butter was not found"),
        ("flour==2.0\ncake\n", "cake"),
        ("stone\n", "RuntimeError: the oven is cold"),
        ("not a requirement!!\n", "Couldn't parse requirement"),
        ("no-wheel.whl\n", "'no-wheel.whl' cannot be read"),
    ],
)
async def test_a_failure_says_which_requirement_and_why(
    environments: Environments, tmp_path: Path, requirements: str, message: str
) -> None:
    with pytest.raises(ModelError) as failed:
        await environments.lease(package(tmp_path / "model", requirements), MLMODEL)
    assert message in str(failed.value)
    assert str(tmp_path) not in str(failed.value)
    assert environments.records() == []


async def test_a_failure_tells_what_uv_printed(environments: Environments, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed) as failed:
        await environments.lease(package(tmp_path / "model", "stone\n"), MLMODEL)
    assert "$ uv pip install" in failed.value.log
    assert "the oven is cold" in failed.value.log


async def test_no_network_is_said_with_what_is_missing(tmp_path: Path) -> None:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache")}
    nowhere = PackageSources(index_url="http://me:secret@127.0.0.1:9/simple", variables=variables, offline=False)
    with pytest.raises(EnvironmentFailed) as failed:
        await of_folder(tmp_path / "made", nowhere).lease(package(tmp_path / "model", "six==1.16.0\n"), MLMODEL)
    assert "there is no network to the packages, and 'six==1.16.0' is not on this machine" in failed.value.message
    assert "secret" not in failed.value.message + failed.value.log


async def test_what_is_built_sees_no_secret_of_the_server(tmp_path: Path, wheels: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "AWS_SECRET_ACCESS_KEY": "secret",
        "MLFLOW_TRACKING_TOKEN": "secret",
        "UV_INDEX": "http://me:secret@127.0.0.1:9/simple",
        "UV_FIND_LINKS": str(wheels),
        "UV_OFFLINE": "1",
    }
    made = of_folder(tmp_path / "made", package_sources(environ))
    lease = await made.lease(package(tmp_path / "model", "dough\n"), MLMODEL)
    seen: Mapping[str, str] = json.loads(run(lease, "import dough, json; print(json.dumps(dough.seen))"))
    assert seen["PATH"]
    assert "secret" not in json.dumps(seen) + lease.about
    lease.close()


async def test_a_build_that_takes_too_long_is_ended(tmp_path: Path, sources: PackageSources, wheels: Path) -> None:
    make_source(tmp_path / "slow", "slow", "1.0", "import time\n\ndef build_wheel(*_):\n    time.sleep(600)\n")
    package(tmp_path / "model", f"--find-links {tmp_path / 'slow'}\nslow\n")
    with pytest.raises(EnvironmentFailed, match=r"not made within 1\.5 s"):
        await of_folder(tmp_path / "made", sources, seconds=1.5).lease(tmp_path / "model", MLMODEL)
    assert not list((tmp_path / "made").glob(".building-*"))


def leaser_of(home: Path, folder: Path, sources: PackageSources) -> Leaser:
    return Leaser(home, folder, {"UV_FIND_LINKS": sources.find_links[0], "UV_NO_INDEX": "1", **sources.variables})


def test_of_eight_processes_one_makes_it(tmp_path: Path, sources: PackageSources) -> None:
    folder = package(tmp_path / "model", "brioche\n")
    leasers = [leaser_of(tmp_path / "made", folder, sources) for _ in range(8)]
    said = [leaser.lines() for leaser in leasers]
    for leaser in leasers:
        leaser.end()
    assert len({lines[-1] for lines in said}) == 1
    assert said[0][-1].startswith("has ")
    assert sum(MAKING in lines for lines in said) == 1


@pytest.mark.parametrize("step", range(1, 6))
async def test_a_process_that_is_killed_leaves_nothing_that_is_taken_for_whole(
    environments: Environments, tmp_path: Path, sources: PackageSources, step: int
) -> None:
    folder = package(tmp_path / "model", "brioche\n")
    leaser = leaser_of(tmp_path / "environments", folder, sources)
    for _ in range(step):
        leaser.line()
    leaser.kill()
    lease = await environments.lease(folder, MLMODEL)
    assert run(lease, "import brioche, flour; print(brioche.version, flour.version)") == "1.0 2.0"
    assert not list((tmp_path / "environments").glob(".building-*"))
    lease.close()


async def test_it_is_put_in_place_by_a_last_step_that_leaves_nothing_else(
    environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, rename, seen = tmp_path / "environments", Path.rename, []

    def rename_and_look(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        if target.parent == home:
            seen.append({path.name for path in home.iterdir()})
        return moved

    monkeypatch.setattr(Path, "rename", rename_and_look)
    lease = await environments.lease(package(tmp_path / "model", "flour\n"), MLMODEL)
    lease.close()
    assert seen == [{str(lease.digest), f"{lease.digest}.lock"}]


async def test_one_whose_interpreter_is_gone_is_made_anew(environments: Environments, tmp_path: Path) -> None:
    folder = package(tmp_path / "model", "flour\n")
    lease = await environments.lease(folder, MLMODEL)
    lease.close()
    Path(lease.interpreter).unlink()
    again = await environments.lease(folder, MLMODEL)
    assert run(again, "import flour; print(flour.version)") == "2.0"
    again.close()


async def test_what_a_process_uses_is_not_pruned(tmp_path: Path, sources: PackageSources) -> None:
    made = of_folder(tmp_path / "made", sources)
    used, unused = package(tmp_path / "used", "flour==1.0\n"), package(tmp_path / "unused", "flour==2.0\n")
    leaser = leaser_of(tmp_path / "made", used, sources)
    leaser.lines()
    (await made.lease(unused, MLMODEL)).close()
    [planned] = made.prune(dry_run=True)
    assert len(made.records()) == 2
    [removed] = made.prune()
    assert (removed.digest, removed.packages) == (planned.digest, ("flour==2.0",))
    [kept] = made.records()
    assert kept.is_used
    leaser.end()
    wait_until(lambda: not made.records()[0].is_used, "the process has let go")
    assert [record.digest for record in made.prune(unused_seconds=3600)] == []
    assert [record.digest for record in made.prune()] == [kept.digest]


async def test_it_is_found_by_the_beginning_of_its_digest(environments: Environments, tmp_path: Path) -> None:
    lease = await environments.lease(package(tmp_path / "model", "brioche\n"), MLMODEL)
    lease.close()
    record, log = environments.find(str(lease.digest)[:8])
    assert (record.packages, record.requirements) == (("brioche==1.0", "flour==2.0"), ("brioche",))
    assert "$ uv pip install" in log
    with pytest.raises(NotFound):
        environments.find("nothing")


async def test_a_uv_project_gets_what_its_lock_says(
    environments: Environments, tmp_path: Path, sources: PackageSources, wheels: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    project = '[project]\nname = "kitchen"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["flour<2"]\n'
    (folder / "pyproject.toml").write_text(project)
    (folder / "requirements.txt").write_text("flour==2.0\n")  # What counts is the lock.
    lock = [find_uv(), "lock", "--quiet", "--no-index", "--find-links", str(wheels)]
    await asyncio.to_thread(subprocess.run, lock, cwd=folder, env=uv_variables(sources), check=True)
    (folder / "pyproject.toml").write_text(project.replace("<2", ">=2"))  # Frozen: nothing is resolved anew.
    lease = await environments.lease(folder, MLMODEL)
    assert run(lease, "import flour; print(flour.version)") == "1.0"
    lease.close()
