"""Which globals the pickles in a package would import: for people to judge, found without loading one of them.

A pickle runs its author's code when it is loaded. What it would import says what that code can reach at once; what it
calls later, nobody can tell from it. So this is a fact for people, and no gate.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from servery.check.opcodes import BrokenPickle, GaveUp, Program, scan
from servery.check.report import Finding, Look, Verdict
from servery.clock import Clock

SCAN_SECONDS_MAX = 5.0
UNPACKED_BYTES_MAX = 1 << 30
_MEMBERS_MAX = 10_000
_ZIP_DEPTH_MAX = 3
_SHOWN = 6

_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".pk", ".p", ".sav", ".dill", ".cloudpickle"})
"""Files that are read as pickles whatever they begin with: the oldest protocols begin with anything."""
_PROTOCOLS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_NUMPY = b"\x93NUMPY"
_LIBRARIES = frozenset(
    {
        *("numpy", "scipy", "sklearn", "pandas", "joblib", "cloudpickle", "skops", "xgboost", "lightgbm", "catboost"),
        *(
            "torch",
            "torchvision",
            "tensorflow",
            "keras",
            "jax",
            "jaxlib",
            "flax",
            "transformers",
            "tokenizers",
            "spacy",
        ),
        *("sentence_transformers", "statsmodels", "patsy", "pmdarima", "prophet", "onnx", "onnxruntime", "mlflow"),
        *("servery", "imblearn", "category_encoders", "pyarrow", "polars", "thinc", "huggingface_hub", "safetensors"),
        *("langchain", "langchain_core", "pydantic", "feature_engine", "sktime", "shap", "gensim", "nltk", "numba"),
    }
)
_HARMLESS = frozenset(
    {
        *("builtins", "__builtin__", "collections", "copyreg", "copy_reg", "_codecs", "codecs", "datetime", "decimal"),
        *(
            "functools",
            "operator",
            "types",
            "typing",
            "abc",
            "enum",
            "re",
            "_sre",
            "uuid",
            "fractions",
            "random",
            "math",
        ),
        *("dataclasses", "pathlib", "string", "itertools", "logging", "weakref", "threading", "_thread", "io", "_io"),
        *(
            "time",
            "json",
            "statistics",
            "warnings",
            "inspect",
            "array",
            "contextlib",
            "numbers",
            "calendar",
            "zoneinfo",
        ),
    }
)
_DANGEROUS_MODULES = frozenset(
    {
        *("os", "posix", "nt", "subprocess", "_posixsubprocess", "socket", "_socket", "shutil", "pty", "runpy", "code"),
        *("webbrowser", "ctypes", "_ctypes", "urllib", "http", "ftplib", "smtplib", "telnetlib", "requests", "httpx"),
        *("asyncio", "multiprocessing", "signal", "importlib", "pip", "pickle", "_pickle", "marshal", "timeit", "pdb"),
        *("cProfile", "profile", "trace", "commands", "popen2", "platform", "ssl", "aiohttp", "paramiko", "bdb", "sys"),
    }
)
_DANGEROUS_BUILTINS = frozenset(
    {"eval", "exec", "compile", "open", "__import__", "execfile", "input", "breakpoint", "globals", "exit", "quit"}
)
_DANGEROUS_NAMES = frozenset(
    {
        *("numpy.testing._private.utils.runstring", "torch.hub.load", "pandas.read_pickle", "joblib.load"),
        *("io.open", "_io.open", "io.FileIO", "_io.FileIO", "io.open_code", "codecs.open", "bdb.Bdb"),
        *("torch.load", "numpy.load", "dill.loads", "cloudpickle.loads", "logging.config.listen"),
    }
)


@dataclass(slots=True)
class _Found:
    program: Program = field(default_factory=Program)
    scanned: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    """Left in the middle: too long, too deep, or packed in an unknown way."""


def scan_package(folder: Path, files: Iterable[str], clock: Clock) -> Finding:
    """What the pickles among the package's ``files`` would import, with a verdict."""
    found, deadline = _Found(), clock.monotonic() + SCAN_SECONDS_MAX

    def overdue() -> bool:
        return clock.monotonic() > deadline

    for path in sorted(files):
        with (folder / path).open("rb") as file:
            _scan_file(file, path, found, overdue, depth=0)
    return _judge(found)


def _scan_file(file: BinaryIO, path: str, found: _Found, overdue: Callable[[], bool], *, depth: int) -> None:
    head = file.read(16)
    file.seek(0)
    suffix = Path(path).suffix.lower()
    try:
        if head.startswith(b"PK\x03\x04"):
            _scan_zip(file, path, found, overdue, depth=depth)
        elif head.startswith(_NUMPY):
            _scan_numpy(file, path, found, overdue)
        elif head.startswith(_PROTOCOLS) or (suffix in _SUFFIXES and _unpacked(file, head) is None):
            _scan_pickles(file, path, found, overdue)
        elif suffix in _SUFFIXES and (opened := _unpacked(file, head)) is not None:
            _scan_pickles(io.BytesIO(opened.read(UNPACKED_BYTES_MAX)), path, found, overdue)
    except BrokenPickle as error:
        found.broken[path] = str(error)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        found.broken[path] = " ".join(str(error).split())[:120]
    except (GaveUp, RecursionError, NotImplementedError, RuntimeError):
        found.unread.append(path)


def _scan_pickles(file: BinaryIO, path: str, found: _Found, overdue: Callable[[], bool]) -> None:
    """One pickle after another, as older torch files have them; what follows the first and is none ends it."""
    found.scanned.append(path)
    scan(file, found.program, overdue)
    while (head := file.read(2)) and head in _PROTOCOLS:
        file.seek(-2, io.SEEK_CUR)
        scan(file, found.program, overdue)


def _scan_zip(file: BinaryIO, path: str, found: _Found, overdue: Callable[[], bool], *, depth: int) -> None:
    if depth >= _ZIP_DEPTH_MAX:
        raise GaveUp
    left_bytes = UNPACKED_BYTES_MAX
    with zipfile.ZipFile(file) as archive:
        for count, member in enumerate(archive.infolist()):
            if overdue() or count > _MEMBERS_MAX:
                raise GaveUp
            if Path(path).suffix.lower() == ".skops" and member.filename == "schema.json":
                found.scanned.append(f"{path}:{member.filename}")
            with archive.open(member) as opened:
                head = opened.read(6)
                if not head.startswith((*_PROTOCOLS, b"PK\x03\x04", _NUMPY)) and not _has_suffix(member.filename):
                    continue
                content = head + opened.read(left_bytes)
            left_bytes -= len(content)
            if left_bytes <= 0:
                raise GaveUp
            _scan_file(io.BytesIO(content), f"{path}:{member.filename}", found, overdue, depth=depth + 1)


def _has_suffix(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES


def _scan_numpy(file: BinaryIO, path: str, found: _Found, overdue: Callable[[], bool]) -> None:
    """An array of objects is a pickle behind a header (``numpy/lib/format.py``)."""
    head = file.read(8)
    length = int.from_bytes(file.read(2 if head[6] == 1 else 4), "little")
    if b"'|O'" in file.read(min(length, 1 << 20)):
        _scan_pickles(file, path, found, overdue)


def _unpacked(file: BinaryIO, head: bytes) -> BinaryIO | None:
    """The file's content where it is packed as joblib packs; None where it is not. Raises GaveUp for lz4."""
    if head.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if head.startswith(b"BZh"):
        return cast("BinaryIO", bz2.BZ2File(file))
    if head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        return cast("BinaryIO", lzma.LZMAFile(file))
    if head[:1] == b"\x78" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        content = zlib.decompressobj().decompress(file.read(), UNPACKED_BYTES_MAX)
        file.seek(0)
        return io.BytesIO(content)
    if head.startswith(b"\x04\x22\x4d\x18"):
        raise GaveUp
    return None


def dangerous(name: str) -> bool:
    """Does this global reach beyond the model, into the machine or the network?"""
    top = name.partition(".")[0]
    if top in ("builtins", "__builtin__"):
        return name.rpartition(".")[2] in _DANGEROUS_BUILTINS
    return name.startswith("?") or top in _DANGEROUS_MODULES or name in _DANGEROUS_NAMES


def _judge(found: _Found) -> Finding:
    program = found.program
    risky = sorted(name for name in program.imports if dangerous(name))
    called = [name for name in risky if name in program.calls]
    tops = {name.partition(".")[0] for name in program.imports if not dangerous(name)}
    unknown = sorted(tops - _LIBRARIES - _HARMLESS - {"__main__"} - set(sys.stdlib_module_names))
    facts = {
        "files": found.scanned,
        "imports": sorted(program.imports)[:500],
        "dangerous": risky,
        "called": called,
        "unknown": unknown,
        "code_by_value": program.code_count,
        "code_names": sorted(program.code_names)[:500],
        "broken": found.broken,
        "unread": found.unread,
    }
    verdict, sentence = _sentence(found, risky, called, sorted(tops & _LIBRARIES), unknown)
    return Finding(Look.PICKLES, verdict, sentence, facts)


def _sentence(
    found: _Found, risky: list[str], called: list[str], libraries: list[str], unknown: list[str]
) -> tuple[Verdict, str]:
    if called:
        return Verdict.WARNING, f"Loading it calls {_listed(called)}, which reaches beyond a model: know who made it."
    if found.broken:
        path, why = next(iter(found.broken.items()))
        return Verdict.WARNING, f"The pickle '{path}' is broken or cut off: {why}."
    if not found.scanned and not found.unread:
        return Verdict.OK, "It holds no pickle."
    count = found.program.code_count
    own = f", and carry {count} piece{'s' if count > 1 else ''} of code by value" if count else ""
    what = f"Its pickles import {_listed(libraries) if libraries else 'nothing of a library'}{own}"
    if risky:
        return Verdict.NOTE, f"{what}; they name {_listed(risky)}, beyond what a model needs."
    if unknown:
        return Verdict.NOTE, f"{what}; not among the libraries known here: {_listed(unknown)}."
    if found.unread:
        return Verdict.NOTE, f"{what}; not read to its end: {_listed(found.unread)}."
    return Verdict.OK, f"{what}."


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
