"""What goes wrong in an app: the line for the task's `error`, and the traceback for its log."""

from __future__ import annotations

import asyncio
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from agentkit.apps.loading import PREFIX
from agentkit.errors import AppDefinitionError, AppInputError, AppOutputError

__all__ = ["Mishap", "Terminated", "mishap_of"]

OURS: Final = str(Path(__file__).parent)
TEXT_CHARACTERS: Final = 4000
_PACKAGE: Final = re.compile(rf"\b{PREFIX}[0-9a-f]+\.")  # what the loader puts in front of an app's modules


class Terminated(SystemExit):
    """The process is to end: SIGTERM. It unwinds the app, so that its `finally` blocks run."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Mishap:
    """An exception that ended a phase. `is_broken`: the process should not be used any more."""

    text: str
    error: BaseException
    is_broken: bool = False

    @property
    def is_cancellation(self) -> bool:
        """Whether it is the CancelledError of a cancelled task."""
        return isinstance(self.error, asyncio.CancelledError)

    def print(self) -> None:
        """Writes the traceback into the log, from the app's first line on; nothing where no line of it is at fault."""
        error = self.error
        if isinstance(error, AppInputError | AppOutputError):
            return
        if isinstance(error, AppDefinitionError):
            if error.__cause__ is None:
                return
            error = error.__cause__
        traceback.print_exception(type(error), error, _of_the_app(error.__traceback__), file=sys.stderr)


def mishap_of(error: BaseException, *, memory_bytes: int | None) -> Mishap:
    """The mishap that an exception is. `memory_bytes`: the limit that a MemoryError is about."""
    match error:
        case MemoryError():
            return Mishap(_memory_text(error, memory_bytes), error, is_broken=True)
        case SystemExit():
            return Mishap(f"SystemExit: the app called sys.exit({error.code!r})", error)
        case AppInputError() | AppOutputError() | AppDefinitionError():
            return Mishap(_cut(str(error)), error)
        case _:
            return Mishap(_last_line(error), error)


def _memory_text(error: MemoryError, memory_bytes: int | None) -> str:
    said = str(error)
    if memory_bytes is None:
        return _last_line(error)
    return f"MemoryError: the app may use {memory_bytes / (1 << 20):g} MiB{f' ({said})' if said else ''}"


def _last_line(error: BaseException) -> str:
    """`ValueError: bad size`, as it stands under a traceback; the app's own exceptions without their module."""
    try:
        lines = traceback.format_exception_only(error)
    except Exception:  # an exception whose own __str__ fails
        lines = [type(error).__name__]
    text = "".join(lines).strip()
    module = str(type(error).__module__)
    return _cut(text.replace(f"{module}.", "", 1) if _PACKAGE.match(f"{module}.") else text)


def _cut(text: str) -> str:
    text = _PACKAGE.sub("", text)
    return text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]}..."


def _of_the_app(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without our frames in front."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(OURS):
        first = first.tb_next
    return first or trace
