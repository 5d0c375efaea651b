"""``servery``: the commands, and how every one of them fails.

Exit status 0: done; 1: it failed, one line on standard error says why and what to do; 2: called wrongly.
Nothing heavy is imported here, so that ``servery --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from servery.cli import check, doctor, endpoints, environments, imports, models, predict, processes, up
from servery.cli.quickstart import command as quickstart
from servery.errors import ConfigInvalid, InvalidInput, ServeryError

# Typer carries its own copy of click or uses the installed one, by release; this finds the class in both.
_UsageError: Any = typer.BadParameter.__bases__[0]
_FAILED, _CALLED_WRONGLY, _INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="servery",
    help="Package trained models, keep their versions, serve the one you choose, swap it under load.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from servery import __version__

        typer.echo(f"servery {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error came from.")] = False,
) -> None:
    pass


quickstart.add_to(app)
up.add_to(app)
processes.add_to(app)
check.add_to(app)
models.add_to(app)
imports.add_to(app)
endpoints.add_to(app)
predict.add_to(app)
environments.add_to(app)
doctor.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. The console script and ``python -m servery.cli.main`` call this."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = app(given, prog_name="servery", standalone_mode=False)
    except typer.Exit as error:
        return error.exit_code
    except _UsageError as error:
        return _called_wrongly(error)
    except (InvalidInput, ConfigInvalid) as error:
        return _say(error.message, _CALLED_WRONGLY)
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone. What is still buffered goes nowhere, or Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except Exception as error:
        return _failed(error, debug="--debug" in given)
    return status if isinstance(status, int) else 0


def _called_wrongly(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return _CALLED_WRONGLY
    where = error.ctx.command_path if error.ctx is not None else "servery"
    return _say(f"{error.format_message().rstrip('.')}. See '{where} --help'.", _CALLED_WRONGLY)


def _failed(error: Exception, *, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, ServeryError):
        return _say(error.message, _FAILED)
    message = f"{type(error).__name__}: {error}"
    return _say(f"Something unexpected happened ({message}); 'servery --debug …' shows where.", _FAILED)


def _say(message: str, status: int) -> int:
    line = " ".join(message.split())
    typer.echo(f"servery: {line}", err=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
