"""What all commands have in common: how they are put under their word, how they end, and the options of many."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final, NoReturn

import typer

from agentkit.cli.exits import FAILED, INTERRUPTED, Mistake, code_of, text_of
from agentkit.errors import AgentKitError

__all__ = ["ApiKey", "AsJson", "BaseUrl", "Folder", "Limit", "Sure", "add", "confirm", "group", "guarded"]

DEBUG_VARIABLE: Final = "AGENTKIT_DEBUG"
PIPE_CLOSED: Final = 141  # as shells say SIGPIPE
ENDING: Final = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, and nothing else.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="The server. [variable: AGENTKIT_BASE_URL]")
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="Your key; others see arguments: prefer the variable. [variable: INFERENCE_API_KEY]",
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The app's folder, the one that holds inf.yml.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, is_sure: bool) -> bool:
    """Whether it shall be done; asks at a terminal. Raises Mistake where nobody can be asked."""
    if is_sure:
        return True
    if not sys.stdin.isatty():
        raise Mistake(f"{question} Nobody can be asked here; say --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def group(help: str) -> typer.Typer:
    """A word with words under it."""
    return typer.Typer(
        help=help, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )


def add(to: typer.Typer, name: str, function: Callable[..., int | None]) -> None:
    """Puts a command under its word. What it returns is the exit code, None for 0."""
    to.command(name)(guarded(function))


def guarded(function: Callable[..., int | None]) -> Callable[..., NoReturn]:
    """The command such that every way out of it is an exit code and at most a sentence."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> NoReturn:
        raise typer.Exit(_ended(lambda: function(*args, **options)))

    return run


def _ended(command: Callable[[], int | None]) -> int:
    try:
        with _ends_in_good_order():
            return command() or 0
    except (typer.Exit, typer.BadParameter, typer.Abort):
        raise
    except AgentKitError as error:
        sys.stderr.write(f"agentkit: {text_of(error)}\n")
        return code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has nobody to go to
        return PIPE_CLOSED
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        what = f"{type(error).__name__}: {error}".strip()
        sys.stderr.write(f"agentkit: unexpected: {what}; {DEBUG_VARIABLE}=1 shows where\n")
        return FAILED


@contextmanager
def _ends_in_good_order() -> Generator[None]:
    """While entered, being told to end runs what `with` and `finally` have to do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
