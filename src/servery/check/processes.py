"""What a worker and all that it started take from the machine, read from ``/proc``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_FIELD = re.compile(r"^(\w+):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """At one moment, of a worker and what it started."""

    memory_bytes: int
    """In memory; shared pages by their part."""
    reserved_bytes: int
    """Of the worker alone: what it has asked for, touched or not."""
    thread_count: int
    file_count: int
    process_count: int


def usage(pid: int, home: Path) -> Usage:
    """Of the process and of every other whose home is ``home``; nothing of those that have ended meanwhile."""
    pids = {pid, *processes_at(home)}
    memory_bytes = thread_count = file_count = process_count = 0
    for one in pids:
        with suppress(OSError):
            status = _fields(one, "status")
            memory_bytes += _fields(one, "smaps_rollup").get("Pss", status.get("VmRSS", 0)) * 1024
            thread_count += status.get("Threads", 0)
            file_count += len(os.listdir(_PROC / str(one) / "fd"))
            process_count += 1
    reserved_bytes = 0
    with suppress(OSError):
        reserved_bytes = _fields(pid, "status").get("VmData", 0) * 1024
    return Usage(memory_bytes, reserved_bytes, thread_count, file_count, process_count)


def processes_at(home: Path) -> Iterator[int]:
    """The processes that were started with ``home`` as their HOME: however a child leaves its parent, it keeps that."""
    wanted = b"HOME=" + os.fsencode(home)
    for entry in os.listdir(_PROC):
        if entry.isdigit() and int(entry) != os.getpid():
            with suppress(OSError):
                if wanted in (_PROC / entry / "environ").read_bytes().split(b"\0") and not _is_over(int(entry)):
                    yield int(entry)


def _is_over(pid: int) -> bool:
    return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX"


def free_memory_bytes() -> int:
    with suppress(OSError):
        return dict(_pairs((_PROC / "meminfo").read_text())).get("MemAvailable", 0) * 1024
    return 0


def has_gpu() -> bool:
    """Is there an accelerator that a driver offers?"""
    found = (name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+|kfd|nvidiactl", name))
    return any(found)


def _fields(pid: int, file: str) -> dict[str, int]:
    return dict(_pairs((_PROC / str(pid) / file).read_text(errors="replace")))


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    return ((name, int(value)) for name, value in _FIELD.findall(text))
