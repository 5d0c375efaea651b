"""The command line as people use it: real processes, real servers, what is printed and the exit status."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import servery
from tests.servers import Both, answers, both_planes, free_port, servery_process, wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]


def servery_command(*arguments: str, server: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SERVERY_SERVER": server or "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "servery.cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False, **options)


@pytest.fixture(scope="module")
def run(both: Both) -> Run:
    """A command against the running server."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return servery_command(*arguments, server=both.up.url, **options)

    return run


@pytest.fixture(scope="module")
def menu(run: Run, echo_folders: tuple[Path, Path]) -> str:
    """Two versions of a model behind an endpoint of the same name, all made by commands."""
    for folder in echo_folders:
        assert run("register", str(folder), "--name", "menu").returncode == 0
    assert run("models", "alias", "menu", "champion", "1").returncode == 0
    deployed = run("deploy", "menu", "models:/menu@champion")
    assert deployed.returncode == 0, deployed.stderr
    assert "models:/menu/1 (@champion)" in deployed.stdout
    return "menu"


def failed(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("servery: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_an_endpoint_answers_a_list_a_request_a_file_and_standard_input(run: Run, menu: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text("[[4, 0]]")
    for arguments, options in (
        (("[[4, 0]]",), {}),
        (('{"inputs": [[4, 0]]}',), {}),
        (("-i", str(file)), {}),
        (("-i", "-"), {"input": "[[4, 0]]"}),
    ):
        done = run("predict", menu, *arguments, **options)
        assert json.loads(done.stdout) == [[1, 4, 4]], done.stderr


def test_a_model_is_asked_without_an_endpoint(
    run: Run, menu: str, echo_folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVERY_HOME", str(tmp_path / "home"))
    for uri in (f"models:/{menu}/2", str(echo_folders[1])):
        done = run("predict", uri, "[[4, 0]]")
        assert json.loads(done.stdout) == [[2, 4, 8]], done.stderr


def test_a_parquet_file_is_taken_by_an_endpoint_and_by_a_model_alike(
    run: Run, menu: str, echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "rows.parquet"
    pd.DataFrame({"nonce": [4], "action": [0]}).to_parquet(file)
    for target in (menu, str(echo_folders[0])):
        done = run("predict", target, "-i", str(file))
        assert json.loads(done.stdout) == [[1, 4, 4]], done.stderr


def test_an_alias_moves_the_endpoint_and_a_rollback_moves_it_back(run: Run, menu: str) -> None:
    moved = run("models", "alias", menu, "champion", "2")
    assert "Endpoint menu has moved" in moved.stdout, moved.stderr
    assert json.loads(run("predict", menu, "[[4, 0]]").stdout) == [[2, 4, 8]]
    assert "models:/menu/1" in run("rollback", menu).stdout
    assert json.loads(run("predict", menu, "[[4, 0]]").stdout) == [[1, 4, 4]]


def test_a_rollback_says_that_the_alias_is_left_and_how_to_follow_it_again(run: Run, menu: str) -> None:
    assert run("deploy", "brief", f"models:/{menu}/2").returncode == 0
    deployed = run("deploy", "brief", f"models:/{menu}@champion", "--replicas", "2")
    assert deployed.returncode == 0, deployed.stderr
    again = f"servery deploy brief models:/{menu}@champion --replicas 2"
    assert again in run("rollback", "brief").stdout
    assert json.loads(run("rollback", "brief", "--json").stdout)["name"] == "brief"
    assert "follow" not in run("rollback", "brief").stdout
    assert run("endpoints", "rm", "brief").returncode == 0


def test_what_deploy_says_next_works_when_it_is_pasted(run: Run, menu: str) -> None:
    shown = run("deploy", menu, f"models:/{menu}/1").stdout
    words = shlex.split(shown.rpartition("Next: servery ")[2])
    assert words[:2] == ["predict", menu]
    assert run(*words).returncode == 0


def test_a_model_that_is_asked_here_is_kept_in_the_home_that_is_named(run: Run, menu: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert json.loads(run("predict", f"models:/{menu}/2", "[[4, 0]]", "--home", str(home)).stdout) == [[2, 4, 8]]
    assert len([folder for folder in (home / "packages").iterdir() if not folder.name.startswith(".")]) == 1


def test_an_endpoint_that_has_not_moved_yet_is_not_said_to_have(
    echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    with servery_process("control", "-p", str(port), "--home", str(tmp_path / "home"), port=port, log=log) as control:
        wait_until(lambda: answers(f"{control.url}/readyz"), "the control plane is ready")
        for arguments in (
            ("register", str(echo_folders[0]), "--name", "menu", "--alias", "champion"),
            ("register", str(echo_folders[1]), "--name", "menu"),
            ("deploy", "menu", "models:/menu@champion", "--no-wait"),
        ):
            assert servery_command(*arguments, server=control.url).returncode == 0
        moved = servery_command("models", "alias", "menu", "champion", "2", server=control.url)
    assert "has moved" not in moved.stdout
    assert "Endpoint menu is still moving to it. See how it goes: servery endpoints watch menu" in moved.stdout


def test_two_versions_share_an_endpoint_by_percentage(run: Run, menu: str) -> None:
    done = run("deploy", "shared", f"models:/{menu}/1=90", f"models:/{menu}/2=10", "--json")
    entities = json.loads(done.stdout)["entities"]
    assert [(entity["version"], entity["percent"]) for entity in entities] == [(1, 90), (2, 10)]
    assert run("endpoints", "rm", "shared").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "ls"),
        ("models", "show", "menu"),
        ("models", "show", "menu", "--version", "1"),
        ("models", "tag", "menu", "team=kitchen"),
        ("endpoints", "ls"),
        ("endpoints", "show", "menu"),
        ("endpoints", "watch", "menu"),
        ("predict", "menu", "[[1, 0]]"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_json_is_there_for_programs(run: Run, menu: str, arguments: tuple[str, ...]) -> None:
    assert json.loads(run(*arguments, "--json").stdout)


def test_a_damaged_call_says_what_is_wrong_with_it(run: Run, menu: str) -> None:
    failed(run("predict", menu, '{"imputs": [[1, 0]]}'), "inputs", "imputs")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("models", "show", "soup"), ("soup", "not found")),
        (("models", "show", "menu", "--version", "9"), ("9", "not found")),
        (("models", "alias", "menu", "champion", "9"), ("9", "not found")),
        (("models", "rm", "menu"), ("menu", "in use")),
        (("deploy", "menu", "models:/soup/1"), ("soup", "not found")),
        (("deploy", "menu", "models:/menu/9"), ("9", "not found")),
        (("deploy", "menu", "models:/menu@chef"), ("chef", "not found")),
        (("endpoints", "show", "soup"), ("soup", "not found")),
        (("endpoints", "rm", "soup"), ("soup", "not found")),
        (("rollback", "soup"), ("soup", "not found")),
        (("predict", "soup", "[1]"), ("soup", "not found")),
        (("predict", "models:/soup/1", "[1]"), ("soup", "not found")),
        (("serve", "models:/menu@chef"), ("chef", "not found")),
    ],
    ids=" ".join,
)
def test_a_name_that_nothing_has_is_named(
    run: Run,
    menu: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    monkeypatch.setenv("SERVERY_HOME", str(tmp_path))
    failed(run(*arguments), *words)


@pytest.mark.parametrize(
    ("mlmodel", "words"),
    [(None, "no MLmodel file"), ("flavors: [", "MLmodel"), ("- a list", "MLmodel")],
)
@pytest.mark.parametrize("command", ["register", "serve"])
def test_a_folder_that_is_no_package_is_refused(
    run: Run, tmp_path: Path, command: str, mlmodel: str | None, words: str
) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    if mlmodel is not None:
        (folder / "MLmodel").write_text(mlmodel)
    arguments = ("--name", "soup") if command == "register" else ("--home", str(tmp_path), "-p", str(free_port()))
    failed(run(command, str(folder), *arguments), words)


def test_nothing_that_answers_is_named_with_what_to_do() -> None:
    failed(servery_command("models", "ls"), "http://127.0.0.1:9", "servery up", "--server")


@pytest.mark.parametrize("command", ["up", "control"])
def test_a_port_in_use_is_named(both: Both, tmp_path: Path, command: str) -> None:
    ports = ("--port", str(both.up.port), *(("--gateway-port", str(free_port())) if command == "up" else ()))
    failed(servery_command(command, *ports, "--home", str(tmp_path / "home")), str(both.up.port), "in use", "--port")


def test_a_gateway_port_in_use_leaves_nothing_behind(both: Both, tmp_path: Path) -> None:
    port = free_port()
    ports = ("--port", str(port), "--gateway-port", str(both.gateway_port))
    done = servery_command("up", *ports, "--home", str(tmp_path / "home"))
    failed(done, str(both.gateway_port), "--gateway-port")
    assert not answers(f"http://127.0.0.1:{port}/health")


def test_a_home_that_another_control_plane_uses_is_refused(both: Both) -> None:
    done = servery_command("control", "--port", str(free_port()), "--home", str(both.home))
    failed(done, "Another control plane", str(both.home), "--home")


@pytest.mark.parametrize("command", ["up", "control", "gateway"])
def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, command: str) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    port = ("--gateway-port" if command == "gateway" else "--port", str(free_port()))
    failed(servery_command(command, *port, "--home", str(home)), str(home), "--home")


@pytest.mark.parametrize("command", ["up", "control", "gateway", "serve"])
def test_an_open_address_is_refused_without_authentication(
    tmp_path: Path, echo_folders: tuple[Path, Path], command: str
) -> None:
    model = (str(echo_folders[0]),) if command == "serve" else ()
    done = servery_command(command, *model, "--host", "0.0.0.0", "--home", str(tmp_path / "home"))
    failed(done, "0.0.0.0", "--insecure-no-auth")


def test_an_unknown_flag_is_a_wrong_call() -> None:
    done = servery_command("up", "--prot", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("servery: ")
    assert "--prot" in done.stderr


def test_up_ends_with_status_0_and_takes_its_children_along(tmp_path: Path) -> None:
    with both_planes(tmp_path / "home") as running:
        children = psutil.Process(running.up.process.pid).children(recursive=True)
        wait_until(lambda: "Servery is up" in running.up.log.read_text(), "it says that it is up")
        assert running.up.terminate() == 0
    assert not [child for child in children if child.is_running()]


def test_up_starts_a_child_again_that_died(both: Both, run: Run, menu: str) -> None:
    control = both.child("control")
    assert control is not None
    control.kill()
    wait_until(lambda: run("models", "ls").returncode == 0, "the control plane is back")
    assert both.child("control") != control
    wait_until(lambda: run("predict", menu, "[[4, 0]]").returncode == 0, "the endpoint is known again")


def test_children_end_when_up_is_killed(tmp_path: Path) -> None:
    with both_planes(tmp_path / "home") as running:
        children = psutil.Process(running.up.process.pid).children(recursive=True)
        running.up.process.kill()
        wait_until(lambda: not any(child.is_running() for child in children), "its children have ended")


def test_an_open_address_that_was_insisted_on_is_said_loudly(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    arguments = (
        "control",
        "--host",
        "0.0.0.0",
        "--insecure-no-auth",
        "--port",
        str(port),
        "--home",
        str(tmp_path / "home"),
    )
    with servery_process(*arguments, port=port, log=log) as server:
        wait_until(lambda: answers(f"{server.url}/health"), "the control plane is ready")
        assert "WARNING" in log.read_text()


def test_the_quickstart_tells_its_story_without_a_failure(tmp_path: Path) -> None:
    done = servery_command("quickstart", "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("   0 failures") == 2
    for words in ("spam/1", "spam/2", "kill -9"):
        assert words in done.stdout


def test_the_client_downloads_what_was_registered(
    both: Both, client: servery.Client, menu: str, echo_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    client.download(f"models:/{menu}/2", tmp_path / "copy")
    assert (tmp_path / "copy" / "MLmodel").read_bytes() == (echo_folders[1] / "MLmodel").read_bytes()


def test_the_client_tells_of_its_upload(client: servery.Client, echo_folders: tuple[Path, Path]) -> None:
    told: list[tuple[int, int]] = []
    version = client.register(
        echo_folders[0],
        "told",
        "fresh",
        "A note.",
        {"team": "kitchen"},
        progress=lambda sent, whole: told.append((sent, whole)),
    )
    assert told[-1] == (version.size_bytes, version.size_bytes)
    assert (version.description, version.tags, version.aliases) == ("A note.", {"team": "kitchen"}, ("fresh",))
    assert [found.aliases for found in client.versions("told")] == [("fresh",)]
    assert "told" in [model.name for model in client.models()]
