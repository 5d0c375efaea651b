"""Runs a function in a child process and kills it at the entry of its Nth system call that writes.

Linux's ptrace by ctypes, so that the campaign needs no tool besides Python. The child does its preparations
untraced, asks to be traced, stops, and goes on from stop to stop.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

_TRACEME, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_O_TRACESYSGOOD, _O_EXITKILL = 0x1, 0x100000
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY = 1

_NUMBERS = {
    "x86_64": {
        "write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "fsync": 74, "fdatasync": 75, "rename": 82,
        "renameat": 264, "renameat2": 316, "open": 2, "openat": 257, "unlink": 87, "unlinkat": 263, "truncate": 76,
        "ftruncate": 77, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "link": 86, "linkat": 265, "fallocate": 285,
        "chmod": 90, "fchmod": 91, "fchmodat": 268,
    },
    "aarch64": {
        "write": 64, "pwrite64": 68, "writev": 66, "pwritev": 70, "fsync": 82, "fdatasync": 83, "renameat": 38,
        "renameat2": 276, "openat": 56, "unlinkat": 35, "truncate": 45, "ftruncate": 46, "mkdirat": 34, "linkat": 37,
        "fallocate": 47, "fchmod": 52, "fchmodat": 53,
    },
}  # fmt: skip
_NAME_OF = {number: name for name, number in _NUMBERS[platform.machine()].items()}
_OPENS_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _SyscallInfo(ctypes.Structure):
    """``struct ptrace_syscall_info`` with its ``entry`` member (linux/ptrace.h)."""

    _fields_ = [
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    ]


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a traced run."""

    killed_at: str | None
    """The system call that it was killed at; None when it ran to its end."""
    points: int
    """How many writing system calls it had begun."""
    acknowledged: int
    """How many of its steps it had told to be done."""


def run_traced(prepare: Callable[[], list[Callable[[], object]]], *, kill_at: int | None = None) -> Run:
    """Fork, ``prepare`` untraced, then run the steps traced, each told to be done when it returns.

    Raises:
        RuntimeError: the child failed by itself.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_traced(prepare, writing)
    os.close(writing)
    try:
        killed_at, points = _follow(child, kill_at, ignored=frozenset({1, 2, writing}))
        acknowledged = len(os.read(reading, 1 << 16))
    finally:
        os.close(reading)
    return Run(killed_at, points, acknowledged)


def _be_traced(prepare: Callable[[], list[Callable[[], object]]], acknowledgements: int) -> NoReturn:
    try:
        steps = prepare()
        _ptrace(_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        for step in steps:
            step()
            os.write(acknowledgements, b".")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _follow(child: int, kill_at: int | None, *, ignored: frozenset[int]) -> tuple[str | None, int]:
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        raise RuntimeError("the child failed before it was traced")
    _ptrace(_SETOPTIONS, child, 0, _O_TRACESYSGOOD | _O_EXITKILL)
    points, deliver = 0, 0
    while True:
        _ptrace(_SYSCALL, child, 0, deliver)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            if status != 0:
                raise RuntimeError(f"the child failed by itself with status {status}")
            return None, points
        stop = os.WSTOPSIG(status)
        deliver = 0 if stop == _SYSCALL_STOP else stop
        name = _writing_call(child, ignored) if stop == _SYSCALL_STOP else None
        points += name is not None
        if name is not None and points == kill_at:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return name, points


def _writing_call(child: int, ignored: frozenset[int]) -> str | None:
    """The name of the call at whose entry the child stands, None when it writes nothing that stays."""
    info = _SyscallInfo()
    _ptrace(_GET_SYSCALL_INFO, child, ctypes.sizeof(info), ctypes.addressof(info))
    name = _NAME_OF.get(info.number) if info.op == _ENTRY else None
    if name in {"open", "openat"}:
        flags = info.arguments[1 if name == "open" else 2]
        return name if flags & _OPENS_TO_WRITE else None
    if name in {"write", "writev"} and info.arguments[0] in ignored:
        return None
    return name


_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    if _LIBC.ptrace(request, pid, address, data) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace: {os.strerror(code)}")
