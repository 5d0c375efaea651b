"""How commands are called, and how they fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from servery.cli.endpoints import parse_shares
from servery.cli.main import main
from servery.errors import InvalidInput


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--wrong"], "--wrong"),
        (["dploy"], "dploy"),
        (["deploy", "spam"], "MODEL_URI"),
        (["deploy", "spam", "models:/spam/0"], "positive integer"),
        (["deploy", "spam", "models:/spam/1=50", "models:/spam/2=20"], "add up to 100"),
        (["deploy", "spam/1", "models:/spam/1"], "letters, digits"),
        (["deploy", "spam", "models:/spam/1", "--replicas", "0"], "--replicas"),
        (["register", "x", "--name", "a/b"], "without '/' or ':'"),
        (["register", "x", "--name", "a:b"], "without '/' or ':'"),
        (["register", "x", "--name", "a", "--tag", "b"], "KEY=VALUE"),
        (["models", "alias", "spam", "v3", "3"], "alias"),
        (["models", "alias", "spam", "champion"], "--delete"),
        (["models", "ls", "--server", "nonsense"], "http://"),
        (["predict", "spam"], "-i FILE"),
        (["predict", "spam", "{"], "valid JSON"),
        (["predict", "spam", "-i", "data.xml"], ".json, .csv, .parquet or .arrow"),
        (["up", "--port", "a"], "--port"),
        (["up", "--port", "70000"], "--port"),
        (["up", "--port", "8401", "--gateway-port", "8401"], "another port"),
        (["quickstart", "--data", "nowhere.csv"], "nowhere.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_exits_with_2_and_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("servery: ")
    assert shown.err.count("\n") == 1
    assert words in shown.err


def test_an_unknown_setting_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERY_PROT", "1")
    assert main(["models", "ls"]) == 2
    assert "SERVERY_PROT" in capsys.readouterr().err


def test_the_server_may_be_named_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVERY_SERVER", "http://127.0.0.1:9")
    assert main(["models", "ls"]) == 1
    assert "http://127.0.0.1:9;" in capsys.readouterr().err


def test_what_nobody_expected_is_one_line_with_a_hint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servery.cli.models.connect", lambda server: 1 / 0)
    assert main(["models", "ls"]) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "--debug" in shown


def test_debug_shows_where(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servery.cli.models.connect", lambda server: 1 / 0)
    assert main(["--debug", "models", "ls"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_command_group_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 2
    assert "alias" in capsys.readouterr().err


def test_help_needs_nothing_heavy() -> None:
    heavy = "{'httpx', 'rich.console', 'sqlalchemy', 'msgspec', 'numpy', 'starlette', 'asyncio'}"
    code = (
        f"import sys; from servery.cli.main import main; main(['--help']); print('heavy:', {heavy} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "quickstart" in shown
    assert "heavy: set()" in shown


@pytest.mark.parametrize(
    ("texts", "shares"),
    [
        (["models:/spam/1"], [("models:/spam/1", 100)]),
        (["models:/spam@champion"], [("models:/spam@champion", 100)]),
        (["models:/spam/1=100"], [("models:/spam/1", 100)]),
        (["models:/spam/1=90", "models:/spam/2=10"], [("models:/spam/1", 90), ("models:/spam/2", 10)]),
        (["models:/a=b/1"], [("models:/a=b/1", 100)]),
    ],
)
def test_percentages_stand_behind_the_uri(texts: list[str], shares: list[tuple[str, int]]) -> None:
    assert parse_shares(texts) == shares


@pytest.mark.parametrize(
    "texts", [["models:/a/1", "models:/a/2"], ["models:/a/1=50", "models:/a/2"], ["models:/a/1=90"]]
)
def test_percentages_are_given_for_all_and_add_up(texts: list[str]) -> None:
    with pytest.raises(InvalidInput):
        parse_shares(texts)


def test_doctor_finds_a_damaged_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "servery.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert main(["doctor", "--home", str(tmp_path), "--server", "http://127.0.0.1:9"]) == 1
    assert "✗ Registry" in capsys.readouterr().out


def test_doctor_finds_a_home_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    home.write_text("")
    assert main(["doctor", "--home", str(home), "--server", "http://127.0.0.1:9"]) == 1
    assert "✗" in capsys.readouterr().out
