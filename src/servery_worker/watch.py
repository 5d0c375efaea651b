"""What a model does to its machine, told line by line to a file; and a machine that lacks what a model may not need.

Only for workers whose LOAD order asks for it: ``servery check`` does, a gateway does not. Python's audit events tell of
what Python code does. What native code writes by itself is not seen here; nothing here keeps a model from anything.

The file has a JSON object a line, ``{"what": one of WHATS, "name": a path, an address or a program}``; each once.
"""

from __future__ import annotations

import _thread
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

WRITES, REMOVES, CONNECTS, LISTENS, STARTS, FORKS, DEVICES = WHATS = (
    *("writes", "removes", "connects", "listens", "starts", "forks", "devices"),
)
STACK_SUFFIX = ".stack"
"""Of the file beside it, which gets the Python stack of each thread at SIGUSR2 and at a crash."""

_LINES_MAX = 5000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ACCELERATORS = ("cuda", "cudnn", "nvidia", "nvml", "amdhip", "rocm")

Told = Iterator[tuple[str, Any]]


def watch(path: str) -> None:
    """From now on, tell in the file ``path`` what this process does; it cannot be undone."""
    told: set[tuple[str, str]] = set()
    telling: set[int] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        handler = _HANDLERS.get(event)
        thread = _thread.get_ident()
        if handler is None or thread in telling:
            return
        telling.add(thread)
        try:
            for what, name in handler(*arguments):
                line = (what, _text(name))
                if line not in told and len(told) < _LINES_MAX:
                    told.add(line)
                    _append(path, line)
        except Exception:  # noqa: S110 - what is raised here would fail what the model does.
            pass
        finally:
            telling.discard(thread)

    stacks = open(path + STACK_SUFFIX, "ab", buffering=0)  # noqa: SIM115 - open as long as the process lives.
    faulthandler.enable(stacks)
    faulthandler.register(signal.SIGUSR2, stacks)
    sys.addaudithook(hook)


def hide(modules: Iterable[str]) -> None:
    """From now on, these top-level modules are not found, as if nobody had installed them."""
    hidden = frozenset(modules)
    sys.meta_path[:] = [_Hiding(finder, hidden) for finder in sys.meta_path]


class _Hiding:
    """A finder of modules that does not find some of them; else as it was."""

    def __init__(self, finder: Any, hidden: frozenset[str]) -> None:
        self._finder = finder
        self._hidden = hidden

    def find_spec(self, name: str, *rest: Any) -> Any:
        return None if name.partition(".")[0] in self._hidden else self._finder.find_spec(name, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def _append(path: str, line: tuple[str, str]) -> None:
    # Opened anew for every line: a model may close the files that it did not open.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps({"what": line[0], "name": line[1]}).encode() + b"\n")
    finally:
        os.close(descriptor)


def _text(name: Any) -> str:
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else str(name)


def _opened(path: Any, _mode: Any = None, flags: Any = 0, *_: Any) -> Told:
    if isinstance(path, int) or path is None:
        return
    if _text(path).startswith("/dev/nvidia"):
        yield DEVICES, path
    if isinstance(flags, int) and flags & _WRITING:
        yield WRITES, os.path.abspath(_text(path))


def _changed(path: Any, *_: Any) -> Told:
    if not isinstance(path, int):
        yield WRITES, os.path.abspath(_text(path))


def _removed(path: Any, *_: Any) -> Told:
    yield REMOVES, os.path.abspath(_text(path))


def _moved(source: Any, target: Any, *_: Any) -> Told:
    yield REMOVES, os.path.abspath(_text(source))
    yield WRITES, os.path.abspath(_text(target))


def _linked(_source: Any, target: Any, *_: Any) -> Told:
    yield WRITES, os.path.abspath(_text(target))


def _database(name: Any, *_: Any) -> Told:
    if _text(name) not in ("", ":memory:") and not _text(name).startswith("file:"):
        yield WRITES, os.path.abspath(_text(name))


def _connected(_socket: Any, address: Any, *_: Any) -> Told:
    if isinstance(address, tuple):  # One within the machine, over a file, is a text.
        yield CONNECTS, f"{address[0]}:{address[1]}"


def _resolved(host: Any, port: Any = None, *_: Any) -> Told:
    if host:
        yield CONNECTS, f"{_text(host)}:{port}" if port else host


def _bound(_socket: Any, address: Any, *_: Any) -> Told:
    if isinstance(address, tuple):
        yield LISTENS, f"{address[0]}:{address[1]}"


def _started(program: Any, arguments: Any = None, *_: Any) -> Told:
    yield STARTS, program or (arguments[0] if arguments else "")


def _shell(command: Any, *_: Any) -> Told:
    yield STARTS, (_text(command).split() or [""])[0]


def _forked(*_: Any) -> Told:
    yield FORKS, ""


def _loaded_library(name: Any = None, *_: Any) -> Told:
    if name and any(word in _text(name).lower() for word in _ACCELERATORS):
        yield DEVICES, name


_HANDLERS: dict[str, Callable[..., Told]] = {
    "open": _opened,
    "os.mkdir": _changed,
    "os.truncate": _changed,
    "os.chmod": _changed,
    "os.chown": _changed,
    "os.utime": _changed,
    "os.remove": _removed,
    "os.rmdir": _removed,
    "os.rename": _moved,
    "os.link": _linked,
    "os.symlink": _linked,
    "sqlite3.connect": _database,
    "socket.connect": _connected,
    "socket.getaddrinfo": _resolved,
    "socket.gethostbyname": _resolved,
    "socket.bind": _bound,
    "subprocess.Popen": _started,
    "os.posix_spawn": _started,
    "os.exec": _started,
    "os.system": _shell,
    "os.fork": _forked,
    "os.forkpty": _forked,
    "ctypes.dlopen": _loaded_library,
}
