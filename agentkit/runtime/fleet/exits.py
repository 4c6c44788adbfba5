"""Why a process ended, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Final

__all__ = ["exit_reason", "with_log"]

_HINTS: Final = {
    "SIGKILL": "out of memory, or killed from outside",
    "SIGSEGV": "a crash in native code",
    "SIGABRT": "native code gave up, often for want of memory",
    "SIGTERM": "ended from outside",
}


def exit_reason(code: int | None) -> str:
    """What follows "the app's process ...".

    >>> exit_reason(3), exit_reason(-9)
    ('ended with exit code 3', 'was killed by signal 9 (SIGKILL): out of memory, or killed from outside')
    """
    if code is None:
        return "is gone"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"was killed by signal {-code}"
    hint = _HINTS.get(number.name)
    return f"was killed by signal {-code} ({number.name})" + (f": {hint}" if hint else "")


def with_log(text: str, tail: Sequence[str]) -> str:
    """The text, with the last lines of a log under it."""
    return "\n".join([f"{text}; the last lines of its log:", *tail]) if tail else text
