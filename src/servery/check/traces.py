"""What a model leaves behind: what its worker told of itself, and what lies in the folders that it was given.

The worker has a home, a folder for temporary files and a working directory of its own, so that what it writes there is
seen whoever wrote it. What it writes elsewhere is seen where Python code wrote it (``servery_worker/watch.py``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servery_worker import watch

_LINES_BYTES_MAX = 8 << 20
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<name>.+)$', re.MULTILINE)
_GUEST = f"{os.sep}servery_worker{os.sep}"
_NOT_FILES = ("/dev/null", "/dev/tty", "/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/", "/dev/nvidia", "/dev/dri")
_CACHES = (".cache", ".config", ".local", ".keras", ".nv", ".triton", ".torch", ".mlflow", ".theano", ".ipython")
"""Where libraries keep what they make once, below the home folder."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folders of one worker, all below ``root``."""

    root: Path

    def make(self) -> None:
        for folder in (self.home, self.temporary, self.working):
            folder.mkdir(parents=True)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def working(self) -> Path:
        return self.root / "work"

    @property
    def log(self) -> Path:
        """What the model prints."""
        return self.root / "printed.log"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def stack(self) -> Path:
        return Path(f"{self.events}{watch.STACK_SUFFIX}")


@dataclass(frozen=True, slots=True)
class Traces:
    """What was seen of a worker so far."""

    written: tuple[str, ...]
    """Files and folders outside the package, as a person would call them: with ``~`` for the worker's home. Those that
    are still there."""
    in_package: tuple[str, ...]
    temporary: tuple[str, ...]
    """Left in the folder for temporary files."""
    caches: tuple[str, ...]
    removed: tuple[str, ...]
    """Outside the package, of what the worker had not made itself."""
    connects: tuple[str, ...]
    listens: tuple[str, ...]
    starts: tuple[str, ...]
    devices: tuple[str, ...]


def read_traces(scratch: Scratch, package: Path) -> Traces:
    """What the worker in ``scratch`` did until now."""
    told = _told(scratch.events)
    wrote, own = told[watch.WRITES], f"{scratch.root}{os.sep}"
    ours = f"{package.resolve()}{os.sep}"
    outside = [path for path in wrote if not path.startswith((own, ours, *_NOT_FILES)) and not _is_bytecode(path)]
    written = [path for path in outside if os.path.lexists(path)]
    home = [f"~/{path}" for path in _files(scratch.home)]
    cached = [path for path in home if path.removeprefix("~/").startswith(_CACHES)]
    working = [f"./{path}" for path in _files(scratch.working)]
    gone = [path for path in told[watch.REMOVES] if not path.startswith((own, ours)) and path not in set(wrote)]
    return Traces(
        written=tuple(working + [path for path in home if path not in set(cached)] + written),
        in_package=tuple(path for path in wrote if path.startswith(ours) and not _is_bytecode(path)),
        temporary=tuple(f"$TMPDIR/{path}" for path in _files(scratch.temporary)),
        caches=tuple(cached),
        removed=tuple(path for path in gone if not _is_bytecode(path)),
        connects=tuple(told[watch.CONNECTS]),
        listens=tuple(told[watch.LISTENS]),
        starts=tuple(os.path.basename(path) for path in told[watch.STARTS]),
        devices=tuple(told[watch.DEVICES]),
    )


def where_it_is(scratch: Scratch) -> str:
    """Where the worker's code stood when its stack was written last: ``name (file.py, line 7)``; nothing if unknown."""
    try:
        text = scratch.stack.read_text(errors="replace")
    except OSError:
        return ""
    start = max(text.rfind("Current thread"), text.rfind("Fatal Python error"), 0)
    frames = [match for match in _FRAME.finditer(text, start) if _GUEST not in match["file"]]
    if not frames:
        return ""
    inner = frames[0]
    outer = next(
        (one for one in frames if "site-packages" not in one["file"] and "/lib/python" not in one["file"]), inner
    )
    return f"{outer['name']} ({os.path.basename(outer['file'])}, line {outer['line']})"


def printed_bytes(scratch: Scratch) -> int:
    try:
        return scratch.log.stat().st_size
    except OSError:
        return 0


def _told(events: Path) -> Mapping[str, list[str]]:
    told: dict[str, dict[str, None]] = {what: {} for what in watch.WHATS}
    try:
        with events.open("rb") as file:
            lines = file.read(_LINES_BYTES_MAX).splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            fields = json.loads(line)
            told[fields["what"]][str(fields["name"])] = None
        except (ValueError, KeyError, TypeError):
            continue  # The model can write there, too.
    return {what: list(names) for what, names in told.items()}


def _files(folder: Path) -> list[str]:
    """What lies below a folder: files, and folders without any; sorted."""
    found = []
    for place, folders, files in os.walk(folder):
        names = files or ([""] if not folders and place != str(folder) else [])
        found += [os.path.relpath(os.path.join(place, name), folder) for name in names]
    return sorted(path for path in found if not _is_bytecode(path))


def _is_bytecode(path: str) -> bool:
    return "__pycache__" in path.split(os.sep)
