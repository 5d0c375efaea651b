"""A pickle's program run on symbols: what it would import and call, found without importing or calling anything.

The opcodes are pickletools' own, from the standard library, so every protocol is read. An object is a Symbol: how it
would be made. Arrays that joblib writes between the opcodes are stepped over by their size, as their header tells it.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_OPCODES_MAX = 5_000_000
_DEPTH_MAX = 20
_ARGUMENTS_KEPT = 20
_MARK = object()
_JOBLIB_ARRAY = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_POPPED_ONE = {"APPEND": 1, "SETITEM": 2, "POP": 1}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = frozenset({"EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT", "EMPTY_SET"})
_MARKED = frozenset({"LIST", "DICT", "FROZENSET", "TUPLE"})
_ADDING = frozenset({"APPENDS", "SETITEMS", "ADDITEMS"})
_LITERAL = re.compile(r"(STRING|BINUNICODE|UNICODE|BINBYTES|BYTEARRAY|INT|LONG|FLOAT)")


class BrokenPickle(Exception):
    """The stream is no whole pickle; ``str()`` says why, as part of a sentence."""


class GaveUp(Exception):
    """It is longer or deeper than a scan goes."""


@dataclass(slots=True)
class Symbol:
    """An object as the pickle would make it: by calling the global ``module.name`` with ``arguments``, or a global."""

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass(slots=True)
class Program:
    """What pickles would do."""

    imports: set[str] = field(default_factory=set)
    """``module.name``"""
    calls: set[str] = field(default_factory=set)
    """Those that would be called at once."""
    code_names: set[str] = field(default_factory=set)
    """The names that code carried by value uses."""
    code_count: int = 0
    """How many pieces of code it carries by value."""


def scan(file: BinaryIO, program: Program, overdue: Callable[[], bool], depth: int = 0) -> None:
    """Add what the pickle at the file's position would do; the file stands behind it afterwards.

    Raises:
        BrokenPickle: it ends early, or is none.
        GaveUp: it is too long or too deep.
    """
    if depth > _DEPTH_MAX:
        raise GaveUp
    _Scan(file, program, overdue, depth).run()


class _Scan:
    def __init__(self, file: BinaryIO, program: Program, overdue: Callable[[], bool], depth: int) -> None:
        self._file = file
        self._program = program
        self._overdue = overdue
        self._depth = depth
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> None:
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(self._file)):
                if count > _OPCODES_MAX or (count % 4096 == 0 and self._overdue()):
                    raise GaveUp
                self._take(opcode.name, argument)
        except (ValueError, KeyError, IndexError, TypeError, EOFError, OverflowError) as error:
            text = " ".join(str(error).split())[:120]
            raise BrokenPickle(text or type(error).__name__) from None

    def _take(self, name: str, argument: Any) -> None:  # noqa: C901, PLR0912, PLR0915 - a machine's one switch.
        stack = self._stack
        if name in {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"}:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            stack.append(self._memo[argument])
        elif name == "GLOBAL":
            stack.append(self._global(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(self._global(module, attribute))
        elif name in {"REDUCE", "NEWOBJ"}:
            arguments, function = stack.pop(), stack.pop()
            stack.append(self._call(function, arguments))
        elif name == "NEWOBJ_EX":
            _, arguments, function = stack.pop(), stack.pop(), stack.pop()
            stack.append(self._call(function, arguments))
        elif name == "OBJ":
            function, *arguments = self._marked()
            stack.append(self._call(function, tuple(arguments)))
        elif name == "INST":
            stack.append(self._call(self._global(*argument.split(" ", 1)), tuple(self._marked())))
        elif name == "BUILD":
            self._build()
        elif name in {"STOP", "PROTO", "FRAME", "READONLY_BUFFER"}:
            pass
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "POP_MARK":
            self._marked()
        elif name in _POPPED_ONE:
            del stack[-_POPPED_ONE[name] :]
        elif name in _TUPLES:
            kept = tuple(stack[-_TUPLES[name] :])
            stack[-_TUPLES[name] :] = [kept]
        elif name in _MARKED:
            stack.append(tuple(self._marked()))
        elif name in _ADDING:
            added = self._marked()
            if name == "SETITEMS" and isinstance(stack[-1], dict):
                keys = [key if isinstance(key, str) else None for key in added[::2]]
                stack[-1].update({key: item for key, item in zip(keys, added[1::2], strict=False) if key is not None})
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in _EMPTY:
            stack.append({} if name == "EMPTY_DICT" else ())
        elif name == "BINPERSID":
            stack[-1] = None
        elif name in {"EXT1", "EXT2", "EXT4"}:
            stack.append(self._global("copyreg", f"extension {argument}"))
        else:
            stack.append(self._constant(name, argument))

    def _constant(self, name: str, argument: Any) -> Any:
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        return argument if _LITERAL.search(name) else None

    def _marked(self) -> list[Any]:
        stack = self._stack
        start = self._mark()
        items = stack[start + 1 :]
        del stack[start:]
        return items

    def _mark(self) -> int:
        index = len(self._stack) - 1
        while self._stack[index] is not _MARK:
            index -= 1
            if index < 0:
                raise ValueError("an opcode without its mark")
        return index

    def _global(self, module: Any, name: Any) -> Symbol:
        known = isinstance(module, str) and isinstance(name, str)
        symbol = Symbol(module, name) if known else Symbol("?", "a name that is made when it is loaded")
        self._program.imports.add(f"{symbol.module}.{symbol.name}")
        return symbol

    def _call(self, function: Any, arguments: Any) -> Symbol:
        given = arguments[:_ARGUMENTS_KEPT] if isinstance(arguments, tuple) else ()
        if not isinstance(function, Symbol):
            return Symbol("?", "?", given)
        self._program.calls.add(f"{function.module}.{function.name}")
        if function.name == "getattr" and len(given) > 1 and isinstance(given[0], Symbol) and isinstance(given[1], str):
            return self._attribute(given[0], given[1])
        if function.name == "subimport" and given and isinstance(given[0], str):
            self._program.imports.add(given[0])  # How cloudpickle writes a module.
        if function.name == "CodeType" or function.arguments[:1] == ("CodeType",):
            self._take_code(given)
        return Symbol(function.module, function.name, given)

    def _attribute(self, of: Symbol, name: str) -> Symbol:
        """What ``getattr`` gives of a global or a module is a global, too."""
        is_module = of.name in {"subimport", "import_module", "__import__"} and of.arguments[:1]
        return self._global(str(of.arguments[0]) if is_module else f"{of.module}.{of.name}", name)

    def _take_code(self, arguments: tuple[Any, ...]) -> None:
        """Its arguments hold the names that it uses; which one of them it is differs with Python's version."""
        self._program.code_count += 1
        for argument in arguments:
            if isinstance(argument, tuple):
                self._program.code_names.update(name for name in argument if isinstance(name, str))

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if not isinstance(target, Symbol):
            return
        target.state = state
        if (target.module, target.name) == _JOBLIB_ARRAY and isinstance(state, dict):
            self._step_over_array(state)

    def _step_over_array(self, state: dict[str, Any]) -> None:
        dtype = state.get("dtype")
        code = dtype.arguments[0] if isinstance(dtype, Symbol) and dtype.arguments else None
        if not isinstance(code, str):
            raise ValueError("an array of an unknown type")
        if code.lstrip("<>|=").startswith("O"):
            scan(self._file, self._program, self._overdue, self._depth + 1)
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self._file.read(self._file.read(1)[0])
        count = 1
        for length in state.get("shape") or ():
            count *= int(length)
        size_bytes = count * _item_bytes(code)
        while size_bytes > 0:
            read = self._file.read(min(size_bytes, 1 << 20))
            if not read:
                raise ValueError("an array ends early")
            size_bytes -= len(read)


def _item_bytes(code: str) -> int:
    found = re.fullmatch(r"[<>|=]?([A-Za-z])(\d+)", code)
    if found is None:
        raise ValueError(f"an array of the unknown type {code[:20]!r}")
    return int(found[2]) * (4 if found[1] == "U" else 1)
