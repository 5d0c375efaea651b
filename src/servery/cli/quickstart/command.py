"""``servery quickstart``: the whole story on this machine, on real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from servery.cli.options import Home


def add_to(app: typer.Typer) -> None:
    app.command()(quickstart)


def quickstart(
    data: Annotated[
        Path | None, typer.Option(help="Your own messages: lines of label<TAB>text, or CSV with label and text.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    home: Home = None,
) -> int:
    """See the whole story. Train, package, register, deploy, ask, swap under load: in under a minute."""
    from servery.cli.quickstart.story import tell

    return tell(data, keep=keep, home=home)
