"""The application object, its entry point, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from privaudit import __version__
from privaudit.chain.password import hide_password
from privaudit.cli.terminal import errors
from privaudit.engine.process import collect_rarely
from privaudit.errors import UserError

ENDING = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""How schedulers, containers and closed terminals end a command; answered like Ctrl-C."""

SIGNALLED = 128
"""Exit codes of a command that a signal ended are its number and this: 130 for Ctrl-C."""

INTERRUPTED = SIGNALLED + signal.SIGINT

USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""Of the parser inside typer, which is another package from version to version."""

app = typer.Typer(
    name="privaudit",
    help="Measure what a passive participant of federated learning can infer about the others.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"privaudit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure what a passive participant of federated learning can infer about the others."""


def main() -> None:
    """Entry point: what a user can cause becomes one line and exit code 2."""
    if os.getcwd() not in sys.path:  # my_models:Net means my_models.py here; it hides no package
        sys.path.append(os.getcwd())
    collect_rarely()
    hide_password()
    _answer_signals()
    try:
        code = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except UserError as error:
        _refuse(str(error))
    except USAGE_ERROR as error:
        _refuse(f"{_message(error).rstrip('.')}; see privaudit --help")
    except KeyboardInterrupt:
        interrupted()
    except BrokenPipeError:  # e.g. `privaudit list | head`
        leave_now(0)
    except OSError as error:  # disk full, no permission, too many symbolic links, ...
        _refuse(system_error(error))
    except MemoryError:
        _refuse("not enough memory; use fewer --workers, a smaller batch or a smaller model")
    else:
        if code == INTERRUPTED:
            interrupted()
        sys.exit(code if isinstance(code, int) else 0)


def system_error(error: OSError) -> str:
    """What the system says, and of which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _refuse(message: str) -> NoReturn:
    line = " ".join(message.split())
    errors.print(f"privaudit: {line}", markup=False, style="red")
    sys.exit(2)


def _message(error: Exception) -> str:
    """Of an option or argument that the parser refuses."""
    return str(getattr(error, "format_message", error.__str__)())


class Ended(KeyboardInterrupt):
    """A signal that asks this process to end."""


_ended_by: list[int] = []


def _answer_signals() -> None:
    """End by SIGTERM and SIGHUP as by Ctrl-C, unless (nohup) they are not to be heard."""

    def end(number: int, _: object) -> None:
        _ended_by.append(number)
        raise Ended

    for name in ENDING:
        number = getattr(signal, name)
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def interrupted(how_to_go_on: str = "") -> NoReturn:
    """Ctrl-C, or another signal: one line, and out at once, without waiting for anybody."""
    number = _ended_by[0] if _ended_by else signal.SIGINT
    told = f"ended by {signal.Signals(number).name}" if _ended_by else "interrupted"
    errors.print(f"{told}{how_to_go_on}", markup=False)
    leave_now(SIGNALLED + number)


def leave_now(code: int) -> NoReturn:
    """Leave without waiting for worker processes (they end with this one) or for a closed pipe."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - closed by the exit itself
    os._exit(code)
