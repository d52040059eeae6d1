"""How a command ends: exit statuses, one clear line for what went wrong, and Ctrl-C that lets work be kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import typer

from ..base import ConfigurationError

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "USAGE",
    "CommandFailed",
    "adapter_warnings",
    "complain",
    "explain",
    "plain_errors",
    "run",
    "show_failures",
    "warn",
]

FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""What shells call an end by Ctrl-C: 128 and the number of SIGINT."""

_Result = TypeVar("_Result")

_EXTRAS: dict[str | None, str] = {"matplotlib": "demo", "livekit.plugins.openai": "demo"}
_TOLD = (
    ("livekit.agents", "APIError"),
    ("agents.providers.local.recogniser", "RecogniserFailed"),
    ("agents.providers.cli.audio_files", "AudioFileError"),
)
"""Exceptions that are written for users, and the modules they are in, which may not be loaded."""


class CommandFailed(Exception):
    """The command cannot do what it was asked. The message is for the user, ``status`` for the shell."""

    def __init__(self, message: str, *, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


def complain(message: str) -> None:
    """Say on stderr, in one line, what is wrong."""
    typer.secho("error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
    typer.echo(" ".join(message.split()), err=True)


def warn(message: str) -> None:
    """Say on stderr, in one line, what the user should know although work goes on."""
    typer.secho("warning: ", fg=typer.colors.YELLOW, bold=True, err=True, nl=False)
    typer.echo(" ".join(message.split()), err=True)


def show_failures(failures: Sequence[tuple[str, str]], *, total: int) -> None:
    """A table on stderr of what failed, as name and reason, out of *total*."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = 160
    table = Table(title=f"{len(failures)} of {total} failed", title_style="bold red", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("why", overflow="fold")
    for name, reason in failures:
        table.add_row(name, " ".join(reason.split()))
    console.print(table)


def explain(error: BaseException) -> tuple[str, int] | None:
    """What to tell a user about *error*, and the exit status; ``None`` for what can only be a bug."""
    if isinstance(error, CommandFailed):
        return str(error), error.status
    if isinstance(error, ConfigurationError):
        return str(error), USAGE
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return (
            f'{error.name} is not installed; install it with: pip install "voxport[{_EXTRAS[error.name]}]"',
            FAILED,
        )
    if isinstance(error, OSError) or (isinstance(error, ImportError) and "pip install" in str(error)):
        return str(error) or type(error).__name__, FAILED
    for module, name in _TOLD:
        loaded = sys.modules.get(module)  # what is not loaded has raised nothing
        if loaded is not None and isinstance(error, getattr(loaded, name)):
            cause = error.__cause__  # LiveKit's "failed after 3 attempts" keeps the reason there
            reason = cause if isinstance(cause, getattr(loaded, name)) else error
            return str(getattr(reason, "message", "") or reason), FAILED
    return None


@contextlib.contextmanager
def adapter_warnings() -> Iterator[Sequence[str]]:
    """What recognisers' adapters warn of meanwhile, in order. It is not shown where it was not shown before."""
    logger = logging.getLogger("agents.providers.stt")
    level, propagate = logger.level, logger.propagate
    listener = _Listener(logging.WARNING)
    if not logger.isEnabledFor(logging.WARNING):
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    logger.addHandler(listener)
    try:
        yield listener.told
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagate


class _Listener(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Inside, a user's mistake ends the command with one line and a status, not with a stack trace."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        complain(told[0])
        raise typer.Exit(told[1]) from None


def run(work: Coroutine[Any, Any, _Result], *, verbose: bool = False) -> _Result:
    """Carry out *work* in an event loop of its own.

    The first Ctrl-C cancels it, so that it can keep what it has; it may return a result all the same. The second
    one kills.

    Raises:
        KeyboardInterrupt: it was interrupted and kept nothing.
    """
    _set_up_logging(verbose)
    return asyncio.run(_interruptible(work))


async def _interruptible(work: Coroutine[Any, Any, _Result]) -> _Result:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # another one is Python's own, and ends at once
        task.cancel()

    with contextlib.suppress(NotImplementedError):  # Windows: there asyncio.run cancels by itself
        loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


def _set_up_logging(verbose: bool) -> None:
    """Quiet unless asked: what a user must know, the command says itself."""
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s: %(message)s")
        logging.getLogger("agents.providers").setLevel(logging.DEBUG)
    else:
        logging.basicConfig(level=logging.CRITICAL)
        for name in ("livekit", "livekit.agents", "livekit.plugins"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
