"""How the story looks: headings, lines, a table of answers, and how a load went over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from servery.cli.quickstart.load import BUCKET_SECONDS, Counts
from servery.clock import Clock

_BLOCKS = " ▁▂▃▄▅▆▇█"
_WIDTH = 48
_TEXT_WIDTH = 38
_COLORS = ("cyan", "green", "magenta", "yellow")


class View:
    """Writes to a terminal, or plain lines to anything else."""

    def __init__(self, clock: Clock) -> None:
        self.console = Console(highlight=False)
        self._clock = clock
        self._started = clock.monotonic()
        self._step = 0

    def heading(self, title: str) -> None:
        self._step += 1
        elapsed_seconds = self._clock.monotonic() - self._started
        self.console.print(f"\n[bold]{self._step}  {title}[/bold]  [dim]{elapsed_seconds:.0f} s[/dim]")

    def line(self, text: str, style: str | None = None) -> None:
        self.console.print(Text(f"   {text}", style=style or ""), soft_wrap=True)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A spinner where there is a terminal."""
        if self.console.is_terminal:
            with self.console.status(what):
                yield
        else:
            yield

    def answers(self, rows: Sequence[tuple[str, str, str, str, float]]) -> None:
        """Text, what it is, what the model says, the version, milliseconds."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("   Message", no_wrap=True)
        for column in ("Is", "Answer", "Version"):
            table.add_column(column, no_wrap=True)
        table.add_column("Latency", justify="right", no_wrap=True)
        for text, label, answer, version, latency_ms in rows:
            shown = text if len(text) <= _TEXT_WIDTH else f"{text[: _TEXT_WIDTH - 1]}…"
            said = Text(answer, style="green" if answer == label else "red")
            table.add_row(Text(f"   {shown}"), label, said, version, f"{latency_ms:.1f} ms")
        self.console.print(table)

    @contextmanager
    def live(self, counts: Counts) -> Iterator[Live | None]:
        """The load's picture, drawn anew while it runs; only on a terminal."""
        if not self.console.is_terminal:
            yield None
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            live.update(picture(counts), refresh=True)
            yield live

    def load(self, counts: Counts) -> None:
        """The picture and the sums of a load that has ended."""
        self.console.print(picture(counts))
        rate = counts.requests / counts.seconds if counts.seconds else 0.0
        self.line(
            f"{counts.requests:,} requests in {counts.seconds:.1f} s, {rate:,.0f} a second, "
            f"half in {counts.latency_ms(0.5):.1f} ms, 99 % in {counts.latency_ms(0.99):.1f} ms"
        )
        failures = counts.failures.total()
        self.line(f"{failures} failures", "bold red" if failures else "bold green")
        for reason, count in counts.failures.most_common(5):
            self.line(f"  {count} × {reason}", "red")


def picture(counts: Counts) -> Group:
    """One row of bars a version: its answers in each moment."""
    buckets = counts.answers[-_WIDTH - 1 : -1]  # The newest is still being filled.
    most = max((bucket.total() for bucket in buckets), default=1) or 1
    lines = []
    for index, version in enumerate(counts.versions):
        levels = (-(-bucket[version] * (len(_BLOCKS) - 1) // most) for bucket in buckets)
        bars = "".join(_BLOCKS[level] for level in levels)
        total = sum(bucket[version] for bucket in counts.answers)
        lines.append(Text(f"   {version:<10} {bars}  {total:,}", style=_COLORS[index % len(_COLORS)]))
    lines.append(
        Text(f"   {'':<10} one bar is {BUCKET_SECONDS:g} s; failures so far: {counts.failures.total()}", "dim")
    )
    return Group(*lines)
