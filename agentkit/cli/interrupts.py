"""Ctrl-C, designed: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

__all__ = ["Interrupts"]

ASKING: Final = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupts:
    """While entered, the first Ctrl-C (or SIGTERM) does what `then` was given last; the second raises.

    What comes before `then` is kept, and done with it: a request that is under way is answered first.
    """

    def __init__(self, *, notice: str = "") -> None:
        self.number: int | None = None  # of the first signal that came
        self._notice = notice
        self._act: Callable[[], object] | None = None
        self._before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._caught) for number in ASKING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @property
    def exit_code(self) -> int | None:
        """As shells say it; None where nothing came."""
        return None if self.number is None else 128 + self.number

    def then(self, act: Callable[[], object]) -> None:
        """Sets what the first signal does. `act` must not block: it runs in the midst of whatever is going on."""
        self._act = act
        if self.number is not None:
            act()

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            sys.exit(128 + number)
        self.number = number
        if self._notice:
            os.write(sys.stderr.fileno(), f"{self._notice}\n".encode())  # no buffer that may be in use just now
        if self._act is not None:
            self._act()
