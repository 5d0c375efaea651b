"""The documentation tells the truth: it names what the code has, and every block in it runs.

A block of ``bash`` or ``python`` in README.md and docs/ runs as it stands, page by page, from top to bottom, each page
in a folder and a home of its own. A comment before its fence says otherwise:

    <!-- illustrative: why -->       it does not run
    <!-- background: URL... -->      it goes on running until the page ends; the next block waits for the URLs
    <!-- output -->                  it is what the block before printed, ``…`` standing for anything

The ports 8400 to 8403 are replaced by free ones.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, dataclass, fields
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer.main

from servery.cli.main import app
from servery.config import ClientConfig, ControlConfig, GatewayConfig, ServeConfig, load_config
from servery.deployments.status import ConfigUpdate, Deployment
from servery.serving import answers as answer_tables
from servery.serving import http
from servery.serving.gateway import Gateway
from servery.serving.metrics import exposition
from tests.servers import answers, free_port, wait_until

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
PORTS = ("8400", "8401", "8402", "8403")
CONFIGS: dict[str, type[Any]] = {
    "control": ControlConfig,
    "gateway": GatewayConfig,
    "serve": ServeConfig,
    "client": ClientConfig,
}
BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


# Pages as data.


def sections(page: str) -> dict[str, str]:
    """The text below each heading of the second level that is a piece of code."""
    parts = re.split(r"^## `(.+)`$", (DOCS / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, without their backquotes; heads and rules left out."""
    lines = [line.strip().strip("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("`", "") for cell in line.split("|")] for line in lines]


def commands() -> dict[str, set[str]]:
    """Every command of the real application with its options, without the hidden ones."""
    found: dict[str, set[str]] = {}

    def visit(command: Any, path: str) -> None:
        subcommands: Mapping[str, Any] = getattr(command, "commands", {})
        shown = [one for one in command.params if getattr(one, "opts", [""])[0].startswith("-") and not one.hidden]
        if not subcommands or path == "servery":
            found[path] = {name for one in shown for name in (*one.opts, *one.secondary_opts)} - {"--help"}
        for name, sub in subcommands.items():
            visit(sub, f"{path} {name}")

    visit(typer.main.get_command(app), "servery")
    return found


# It names what the code has.


def test_the_command_line_page_has_every_command_and_option_and_no_other() -> None:
    written = {
        name: {option for row in rows(text) for option in re.findall(r"--?[a-z][a-z-]*", row[0])}
        for name, text in sections("cli.md").items()
    }
    assert written == commands()


@pytest.mark.parametrize("process", CONFIGS)
def test_the_configuration_page_has_every_setting_with_its_default(process: str) -> None:
    written = {row[0]: row[1:4] for row in rows(sections("configuration.md")[process])}
    options = commands().get(f"servery {process}", {"--server"} | {"--home"})
    expected = {field.name: _setting(field, options) for field in fields(CONFIGS[process])}
    assert written == expected


def _setting(field: Any, options: set[str]) -> list[str]:
    """Flag, environment twin and default of a setting, as the page writes them."""
    flag = "--" + field.name.replace("_", "-")
    default = "~/.servery" if field.default is MISSING else field.default
    if isinstance(default, bool | float):
        default = str(default).lower() if isinstance(default, bool) else f"{default:g}"
    return [flag if flag in options else "—", f"SERVERY_{field.name.upper()}", str(default)]


def test_the_settings_file_that_is_shown_is_one(tmp_path: Path) -> None:
    [text] = [block["text"] for block in BLOCK.finditer((DOCS / "configuration.md").read_text()) if block[2] == "toml"]
    (tmp_path / "servery.toml").write_text(text)
    for kind in CONFIGS.values():
        load_config(kind, {"home": tmp_path}, environ={})


def test_the_operations_page_has_every_metric_and_no_other() -> None:
    gateway = cast("Gateway", SimpleNamespace(counts=(), served=(), settled_number=0))
    exposed = set(re.findall(r"^# TYPE (\S+)", exposition(gateway, {}).decode(), re.MULTILINE))
    written = {row[0] for row in rows((DOCS / "operations.md").read_text()) if row[0].startswith("servery_")}
    assert written == exposed


def test_the_scoring_page_has_every_status_and_error_code_and_no_other() -> None:
    known = {*answer_tables.OF_OUTCOME.values(), *answer_tables.OF_ERROR.values()}
    # What the protocol alone refuses stands in the code, not in a table.
    source = "".join(path.read_text() for path in sorted(Path(http.__file__).parent.rglob("*.py")))
    known |= {(HTTPStatus[name], code) for name, code in re.findall(r'Refusal\(HTTPStatus\.(\w+), "(\w+)"', source)}
    written = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", (DOCS / "scoring.md").read_text(), re.MULTILINE)
    assert {(int(status), code) for status, code in written} == {pair for pair in known if pair[1]}


def test_the_endpoints_page_has_every_state() -> None:
    page = (DOCS / "endpoints.md").read_text()
    assert [state for state in (*ConfigUpdate, *Deployment) if f"| `{state.value}` |" not in page] == []


def test_the_list_of_decisions_is_whole() -> None:
    index = (DOCS / "decisions" / "index.md").read_text()
    assert [page.name for page in DOCS.glob("decisions/0*.md") if f"({page.name})" not in index] == []


# It hangs together.


def test_the_site_builds_without_a_warning_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert built.returncode == 0, built.stderr
    loaded = r"""<(?:link|script|img)[^>]+(?:href|src)=["']?(?:https?:)?//[^"'>\s]+"""
    pages = {page.name: re.findall(loaded, page.read_text()) for page in (tmp_path / "site").rglob("*.html")}
    assert {name: urls for name, urls in pages.items() if urls} == {}


def test_a_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


# It runs.


@dataclass(frozen=True, slots=True)
class Block:
    line: int
    mark: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = [
        Block(text.count("\n", 0, match.start()) + 1, match["mark"] or "", match["language"], match["text"])
        for match in BLOCK.finditer(text)
    ]
    return [one for one in found if one.language in {"bash", "python"} or one.mark == "output"]


RUNNABLE = [page for page in PAGES if any(not one.mark.startswith("illustrative") for one in blocks(page))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Future[None]]]:
    """Every page's run, some at a time: a run is mostly a wait for processes to start."""
    pool = ThreadPoolExecutor(2)
    ports = iter(free_ports(len(PORTS) * len(RUNNABLE)))
    folders = {page: tmp_path_factory.mktemp(page.stem) for page in RUNNABLE}
    yield {page: pool.submit(run_page, page, folders[page], {port: next(ports) for port in PORTS}) for page in RUNNABLE}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_every_block_of_a_page_runs_as_it_stands(page: Path, runs: dict[Path, Future[None]]) -> None:
    runs[page].result()


def free_ports(count: int) -> list[str]:
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return [str(port) for port in found]


def run_page(page: Path, home: Path, ports: Mapping[str, str]) -> None:
    """Run a page's blocks; ``ports`` says what stands for which port of the text."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SERVERY_", "MLFLOW_"))}
    environment |= {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SERVERY_SERVER": f"http://127.0.0.1:{ports['8400']}",
        "SERVERY_PORT": ports["8400"],
        "SERVERY_GATEWAY_PORT": ports["8401"],
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    # In the file, for the gateway only: what ``servery serve`` is told stands on the page.
    (home / ".servery").mkdir()
    (home / ".servery" / "servery.toml").write_text(f"[gateway]\ngrpc_port = {ports['8402']}\n")
    folder = home / "work"
    folder.mkdir()
    printed = ""
    with ExitStack() as stack:
        for block in blocks(page):
            text, mark = (_with_ports(part, ports) for part in (block.text, block.mark))
            where = f"{page.name}:{block.line}"
            if mark == "output":
                _compare(text, printed, where)
            elif mark.startswith("background: "):
                urls = mark.removeprefix("background: ").split()
                stack.enter_context(_running(text, folder, environment, urls=urls, where=where))
            elif not mark.startswith("illustrative: "):
                assert mark == "", f"{where}: '{mark}' is no mark of ours"
                printed = _run(block.language, text, folder, environment, where=where)


def _with_ports(text: str, ports: Mapping[str, str]) -> str:
    return re.sub("|".join(ports), lambda match: ports[match[0]], text)


def _run(language: str, text: str, folder: Path, environment: Mapping[str, str], *, where: str) -> str:
    """What the block prints on standard output."""
    script = folder / f"block.{language}"
    script.write_text(text)
    interpreter = ["bash", "-euo", "pipefail"] if language == "bash" else [sys.executable]
    ran = subprocess.run(
        [*interpreter, str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, f"{where}: exit status {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@contextmanager
def _running(text: str, folder: Path, environment: Mapping[str, str], *, urls: list[str], where: str) -> Iterator[None]:
    log = folder / f"background-{where.rpartition(':')[2]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {text}"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: process.poll() is not None or all(map(answers, urls)), f"{where}: {' '.join(urls)}: see {log}"
        )
        assert process.poll() is None, f"{where}: it ended\n{log.read_text()}"
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()


def _compare(expected: str, printed: str, where: str) -> None:
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    assert re.fullmatch(pattern, printed.strip(), re.DOTALL), (
        f"{where}: expected\n{expected}\nbut it printed\n{printed}"
    )
