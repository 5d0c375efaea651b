"""What people and programs read: JSON on standard output, tables and progress for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


_WIDTH_PIPED = 200


def print_json(value: Any) -> None:
    """One JSON document; dataclasses by their fields."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def report(fields: Mapping[str, object], sentence: str, *, json: bool) -> None:
    """What was done: as a sentence, or as JSON."""
    if json:
        print_json(fields)
    else:
        typer.echo(sentence)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    # A program that reads a table should get every column whole, however narrow no terminal is.
    wide = None if (sys.stderr if stderr else sys.stdout).isatty() else _WIDTH_PIPED
    return Console(stderr=stderr, highlight=False, width=wide)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table; ``empty`` is what to say where there are no rows."""
    if not rows:
        console().print(empty)
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console().print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values under each other; those without a value are left out."""
    shown = {name: value for name, value in fields.items() if value not in (None, "", (), {})}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        typer.echo(f"{name:<{width}}  {value}")


@contextmanager
def progress(message: str, *, quiet: bool = False) -> Iterator[Status | None]:
    """A spinner on a terminal's standard error while something runs; silent elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with console(stderr=True).status(message) as status:
        yield status


def time_text(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size_text(size_bytes: int | None) -> str:
    if size_bytes is None:
        return ""
    size, units = float(size_bytes), ["B", "KiB", "MiB", "GiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


def pairs_text(pairs: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in pairs.items())
