"""What the bench prints about what it found."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.servers import Memory
from bench.wrk import GeneratorMissing, Point, require_wrk


def _report(*measurements: report.Measurement) -> report.Report:
    return report.Report(
        date="2026-01-02T03:04:05Z",
        command="python -m bench",
        seconds=5,
        machine=report.Machine(2, "a processor", "Linux"),
        versions={"servery": "0.1.0"},
        titles={"frame": "a frame"},
        measurements=measurements,
    )


FLOOR = report.Measurement("frame", "floor", (Point(1, 10_000, 0.1, 0.2), Point(32, 100_000, 0.3, 0.5)))
PREDICT = report.Measurement("frame", "predict", (Point(0, 1000, 1.0, 1.5),))


def _row(page: str, server: str, connections: int) -> list[str]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    return next(row for row in rows if row[:2] == [server, str(connections)])


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "performance.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", path)
    return path


def test_a_server_stands_beside_the_floor_and_the_bare_model(page: Path) -> None:
    lone = Point(1, 500, 1.25, 2.0, over_predict_ms=0.25)
    servery = report.Measurement("frame", "servery", (lone, Point(32, 8000, 4.0, 6.0)))
    report.write_page(_report(FLOOR, PREDICT, servery))
    assert _row(page.read_text(), "servery", 1)[2:] == ["500", "1.25", "2.00", "0.0500", "0.50", "+0.25"]
    assert _row(page.read_text(), "servery", 32)[2:] == ["8,000", "4.00", "6.00", "0.0800", "8.00", ""]


def test_mlflow_becomes_a_column_where_it_was_measured(page: Path) -> None:
    servery = report.Measurement("frame", "servery", (Point(1, 500, 1.25, 2.0),))
    mlflow = report.Measurement("frame", "mlflow", (Point(1, 50, 11.0, 20.0),))
    report.write_page(_report(FLOOR, PREDICT, servery, mlflow))
    assert _row(page.read_text(), "servery", 1)[-1] == "10.0"


@pytest.mark.parametrize("bad", [Point(1, 500, 1, 2, refused=1), Point(1, 500, 1, 2, broken=1), Point(1, 0, 0, 0)])
def test_a_point_with_an_error_has_no_figures_and_is_compared_with_by_nobody(page: Path, bad: Point) -> None:
    other = report.Measurement("frame", "servery", (Point(1, 500, 1.25, 2.0),))
    report.write_page(_report(report.Measurement("frame", "floor", (bad,)), PREDICT, other))
    assert _row(page.read_text(), "floor", 1)[2:] == ["failed", "", "", "", "", ""]
    assert _row(page.read_text(), "servery", 1)[5] == ""
    assert "floor failed at 1 connections" in page.read_text()


def test_a_server_that_did_not_start_is_named_with_the_cause(page: Path) -> None:
    report.write_page(_report(report.Measurement("frame", "mlflow", failure="mlflow ended with 1.")))
    assert "- mlflow failed: mlflow ended with 1." in page.read_text()


def test_the_page_says_when_where_and_by_which_command(page: Path) -> None:
    report.write_page(_report(FLOOR))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for part in ("2026-01-02T03:04:05Z", "`python -m bench`", "2 CPUs (a processor)", "servery 0.1.0", "shared by"):
        assert part in text


def test_the_tables_fit_a_terminal_of_eighty_columns() -> None:
    mlflow = report.Measurement("frame", "mlflow", (Point(128, 56, 2345.67, 5678.90),))
    memory = Memory(rss_bytes=3 << 20, pss_bytes=2 << 20, all_pss_bytes=4 << 20)
    servery = report.Measurement("frame", "servery", (Point(128, 123_456, 12.34, 56.78),), memory)
    console = Console(file=io.StringIO(), width=80)
    report.show(_report(FLOOR, PREDICT, servery, mlflow), console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "…" not in shown
    assert "PSS 2 MiB, RSS 3 MiB" in shown


def test_a_result_is_read_back_as_it_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    assert report.latest() is None
    memory = Memory(rss_bytes=3, pss_bytes=2, all_pss_bytes=4)
    kept = _report(FLOOR, report.Measurement("frame", "servery", (), memory, "It did not start."))
    report.save(kept)
    assert report.latest() == kept


def test_without_wrk_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GeneratorMissing, match="install the package 'wrk'"):
        require_wrk()
