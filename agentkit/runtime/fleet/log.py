"""The log of a worker process: text in the order it was printed, and marks where a phase ended (apps/control.py)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import anyio

from agentkit.apps.control import MARK

__all__ = ["ProcessLog"]

TAIL_LINES: Final = 20
LINE_BYTES: Final = 1 << 16  # a longer line is handed on in pieces


class ProcessLog:
    """Takes the bytes of the log pipe apart. `sink` gets the text; without one it is kept for `tail` only."""

    def __init__(self, token: str) -> None:
        self.sink: Callable[[str], None] | None = None
        self._token = MARK + token.encode() + b":"
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._mark = 0
        self._is_closed = False
        self._news = anyio.Event()

    @property
    def tail(self) -> Sequence[str]:
        """The last lines."""
        return [line for line in self._tail if line.strip()]

    def feed(self, chunk: bytes) -> None:
        """Takes what was read from the pipe."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        said = [self._read(line) for line in lines]
        if len(self._rest) > LINE_BYTES and MARK not in self._rest:
            said.append(self._rest)
            self._rest = b""
        self._say(b"".join(said))

    def close(self) -> None:
        """The pipe has ended."""
        self._say(self._rest)
        self._rest = b""
        self._is_closed = True
        self._news.set()

    async def reached(self, mark: int, *, timeout_seconds: float) -> None:
        """Returns when everything before the mark was handed on, when the log has ended, or when time is up."""
        with anyio.move_on_after(timeout_seconds):
            while self._mark < mark and not self._is_closed:
                await self._news.wait()

    def _read(self, line: bytes) -> bytes:
        """What the line says, with its end. A mark says nothing, but what stands before it on its line does."""
        said, found, number = line.partition(self._token)
        if not found:
            return line + b"\n"
        if number.isdigit():
            self._mark = max(self._mark, int(number))
            self._news.set()
            self._news = anyio.Event()
        return said + b"\n" if said else b""

    def _say(self, said: bytes) -> None:
        if not said:
            return
        text = said.decode(errors="replace")
        self._tail.extend(text.split("\n"))
        if self.sink is not None:
            self.sink(text)
