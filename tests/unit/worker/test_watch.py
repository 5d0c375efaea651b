"""What a watched process does to its machine is told; and modules that are hidden are not found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from servery_worker import watch

PRELUDE = "import sys; sys.path.insert(0, sys.argv[1]); from servery_worker import watch\n"
IN_A_THREAD = "import threading; threading.Thread(target=open, args=('a', 'w'))"
SOURCES = Path(watch.__file__).parent.parent


def run(code: str, events: Path) -> subprocess.CompletedProcess[str]:
    text = f"{PRELUDE}watch.watch({str(events)!r})\n{code}"
    command = [sys.executable, "-c", text, str(SOURCES)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=events.parent)


def told(code: str, events: Path) -> list[tuple[str, str]]:
    done = run(code, events)
    assert done.returncode == 0, done.stderr
    lines = events.read_text().splitlines() if events.exists() else []
    return [(line["what"], line["name"]) for line in map(json.loads, lines)]


@pytest.mark.parametrize(
    ("code", "what", "name"),
    [
        ("open('a.txt', 'w')", watch.WRITES, "{here}/a.txt"),
        ("open('{here}/a.txt', 'ab')", watch.WRITES, "{here}/a.txt"),
        ("import pathlib; pathlib.Path('a').write_text('x')", watch.WRITES, "{here}/a"),
        ("import os; os.mkdir('sub')", watch.WRITES, "{here}/sub"),
        ("import sqlite3; sqlite3.connect('a.db')", watch.WRITES, "{here}/a.db"),
        ("import os; open('a', 'w').close(); os.remove('a')", watch.REMOVES, "{here}/a"),
        ("import os; open('a', 'w').close(); os.rename('a', 'b')", watch.WRITES, "{here}/b"),
        ("import socket; socket.socket().connect_ex(('127.0.0.1', 9))", watch.CONNECTS, "127.0.0.1:9"),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", watch.LISTENS, "127.0.0.1:0"),
        ("import subprocess; subprocess.run(['true'])", watch.STARTS, "true"),
        ("import os; os.system('true with words')", watch.STARTS, "true"),
        ("import os; os.fork() or os._exit(0)", watch.FORKS, ""),
        (f"{IN_A_THREAD}.start()", watch.WRITES, "{here}/a"),
    ],
)
def test_what_a_model_does_is_told(tmp_path: Path, code: str, what: str, name: str) -> None:
    here = str(tmp_path)
    assert (what, name.format(here=here)) in told(code.replace("{here}", here), tmp_path / "events")


def test_a_library_of_an_accelerator_is_told(tmp_path: Path) -> None:
    code = "import ctypes\ntry: ctypes.CDLL('libcuda.so.99')\nexcept OSError: pass"
    assert (watch.DEVICES, "libcuda.so.99") in told(code, tmp_path / "events")


def test_reading_is_not_told_and_a_repetition_once(tmp_path: Path) -> None:
    code = "for _ in range(3): open('a', 'w').close(); open('a').close()"
    assert told(code, tmp_path / "events") == [(watch.WRITES, f"{tmp_path}/a")]


def test_the_stack_is_written_at_a_signal_and_at_a_crash(tmp_path: Path) -> None:
    kill = "os.kill(os.getpid(), signal.{})"
    code = f"import os, signal\ndef cook(): {kill.format('SIGUSR2')}; {kill.format('SIGSEGV')}\ncook()"
    done = run(code, tmp_path / "events")
    assert done.returncode != 0
    stacks = (tmp_path / "events.stack").read_text()
    assert stacks.count("in cook") == 2
    assert "Fatal Python error" in stacks


def test_hidden_modules_are_not_found(tmp_path: Path) -> None:
    code = "watch.hide(['sqlite3'])\nimport json.tool\ntry: import sqlite3\nexcept ModuleNotFoundError: print('gone')"
    assert run(code, tmp_path / "events").stdout == "gone\n"
