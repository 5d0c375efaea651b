"""``servery import`` from a real MLflow server: all of it, once, wherever it was stopped."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import servery
from servery.names import Digest
from tests.anywhere.both_sides import Target, differences, imported_answers, original_answers
from tests.anywhere.places import ROWS, Place, client_of, publish
from tests.servers import wait_until

pytestmark = pytest.mark.timeout(300)
"""The first test waits for the MLflow server, which makes its tables for half a minute."""


def outcomes(report: dict[str, Any]) -> dict[str, list[tuple[int, str]]]:
    return {
        model["name"]: [(version["version"], version["outcome"]) for version in model["versions"]]
        for model in report["models"]
    }


def test_all_is_brought_once_and_answers_as_the_original(place: Place, target: Target) -> None:
    planned = target.report("--dry-run", environment=place.environment)
    assert outcomes(planned) == {name: [(1, "new"), (2, "new"), (3, "new")] for name in ("ham eggs", "spam")}
    assert target.count_versions() == 0

    done = target.command("import", environment=place.environment)
    assert done.returncode == 0, done.stderr
    assert "Imported 6 versions and made 4 changes; 0 versions were here already." in done.stdout
    with client_of(place) as client:
        assert differences(client, target, place) == []
        assert imported_answers(target) == original_answers(client)

    before = target.rows()
    again = target.report("--verify", environment=place.environment)
    assert (again["counts"]["same"], again["counts"]["changes"]) == (6, 0)
    assert target.rows() == before

    shown = target.command("models", "show", "spam", "--version", "1", environment={}).stdout
    for text in ("spam-1,", "kitchen", f"{1:040x}", "accuracy=0.75", "seed=1", f"{place.url}, version 1"):
        assert text in shown


def test_an_import_that_was_killed_goes_on_where_it_was(place: Place, target: Target) -> None:
    first = target.start("import", environment=place.environment)
    wait_until(lambda: target.count_versions() >= 2, "two versions are there")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    kept = target.count_versions()
    report = target.report(environment=place.environment)
    assert (report["counts"]["same"], report["counts"]["imported"]) == (kept, 6 - kept)
    with client_of(place) as client:
        assert differences(client, target, place) == []
    assert [path for path in (target.client_home / "imports").iterdir() if path.is_dir()] == []


def test_what_was_fetched_whole_before_a_kill_is_not_fetched_again(
    place: Place, shared: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from servery.client.import_plan import VersionPlan
    from servery.client.imports import Importer
    from servery.client.mlflow_server import MlflowServer
    from servery.client.mlflow_transport import MlflowTransport
    from servery.client.package_cache import PackageCache
    from servery.config import load_mlflow

    fetched: list[str] = []
    download = MlflowTransport.download

    def counted(self: MlflowTransport, path: str, *more: Any) -> int:
        fetched.append(path)
        return download(self, path, *more)

    monkeypatch.setattr(MlflowTransport, "download", counted)
    cache = PackageCache(tmp_path)
    with MlflowServer(load_mlflow(environ=place.environment)) as source, servery.Client(shared.url) as client:
        importer = Importer(source, client, cache, {})
        [plan] = importer.plan(["spam"])
        plans: list[VersionPlan] = list(plan.new_versions)
        digest = cache.add_from(plans[0].folder, plans[0].files, pinned=True, advance=lambda _: None)  # type: ignore[arg-type]
        once = len(fetched)
        assert once == len(plans[0].files)
        assert importer._fetch(plans[0], lambda _: None) == digest
        assert len(fetched) == once

        # A file that was damaged meanwhile is noticed: then the package is fetched anew.
        (cache.folder(Digest(digest)) / "MLmodel").write_bytes(b"flavors: {}")
        assert importer._fetch(plans[0], lambda _: None) == digest
        assert len(fetched) == 2 * once


def test_numbers_stages_and_changes_of_the_other_side_are_followed(
    place: Place, target: Target, tmp_path: Path
) -> None:
    with client_of(place) as client:
        client.create_registered_model("menu")
        for seed in (5, 6, 7):
            publish(client, "menu", seed, tmp_path)
        client.delete_model_version("menu", "2")
        client.transition_model_version_stage("menu", "3", "Production")
        target.report("menu", environment=place.environment)
        ours = servery.Client(target.url)
        assert [version.version for version in ours.versions("menu")] == [1, 3]
        assert ours.version("menu", 3).tags == {"seed": "7", "mlflow.stage": "Production"}
        ours.set_tag("menu", "reviewed", "here", version=1)

        client.transition_model_version_stage("menu", "3", "None")
        client.set_model_version_tag("menu", "1", "seed", "five")
        client.set_registered_model_alias("menu", "champion", "3")
        client.update_registered_model("menu", "Of the day.")
        report = target.report("menu", environment=place.environment)
        assert sorted(report["models"][0]["changes"]) == [
            "alias champion = 3",
            "description",
            "tag mlflow.stage of version 3 taken away",
            "tag seed of version 1 = five",
        ]
        assert ours.version("menu", 1).tags == {"seed": "five", "reviewed": "here"}
        assert ours.version("menu", 3).tags == {"seed": "7"}
        assert (ours.model("menu").description, ours.model("menu").aliases) == ("Of the day.", {"champion": 3})
        assert ours.register("models:/menu/1", name="menu").version == 4
        ours.close()
        client.delete_registered_model("menu")


def test_what_cannot_be_imported_is_named_and_the_others_go_on(place: Place, target: Target, tmp_path: Path) -> None:
    with client_of(place) as client, servery.Client(target.url) as ours:
        client.create_registered_model("tab\there")
        client.create_model_version("tab\there", "models:/spam/1")
        servery.save_model(lambda rows: rows, tmp_path / "other", input_example=ROWS, requirements=["numpy"])
        ours.register(tmp_path / "other", name="spam")

        done = target.command("import", environment=place.environment)
        client.delete_registered_model("tab\there")
    assert done.returncode == 1
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith("Not imported: "))
    assert len(lines) == 3, done.stdout
    assert lines[1] == "Not imported: spam: alias first is not set, for version 1 was not imported."
    assert "spam/1: another package is registered as version 1 here: " in lines[0]
    assert "a model name of 1 to 256 printable characters" in lines[2]
    assert done.stderr == (
        "servery: 3 models or versions were not imported, for the reasons above; mend them and run it again.\n"
    )
    with servery.Client(target.url) as ours:
        assert [version.version for version in ours.versions("spam")] == [1, 2, 3]
        assert ours.model("spam").aliases == {"champion": 3}
        assert len(ours.versions("ham eggs")) == 3


def test_what_is_not_there_is_said_in_a_line(place: Place, shared: Target) -> None:
    for environment, names, status, words in (
        (place.environment, ("nothing",), 1, "Registered Model with name=nothing not found"),
        ({}, (), 2, "No MLflow server is named; set MLFLOW_TRACKING_URI"),
        ({}, ("--from", "http://127.0.0.1:9"), 1, "No MLflow server answers at http://127.0.0.1:9."),
    ):
        done = shared.command("import", *names, environment=environment)
        assert (done.returncode, done.stderr.count("\n")) == (status, 1)
        assert words in done.stderr


def test_json_names_every_version(place: Place, shared: Target) -> None:
    done = shared.command("import", "spam", "--json", "--dry-run", environment=place.environment)
    report = json.loads(done.stdout)
    assert (report["from"], report["dry_run"], report["counts"]["new"]) == (place.url, True, 3)
    assert report["models"][0]["changes"] == ["alias champion = 3", "alias first = 1"]
