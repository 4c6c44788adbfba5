"""Signals between a test and what it tests, across threads and event loops."""

from __future__ import annotations

import threading

import anyio
from anyio.lowlevel import EventLoopToken, current_token

__all__ = ["Gate", "Signal"]


class Signal:
    """Something that happens once. `set` from any thread; waited for in any thread and any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._happened = threading.Event()
        self._waiters: list[tuple[EventLoopToken, anyio.Event]] = []

    def __bool__(self) -> bool:
        return self._happened.is_set()

    def set(self) -> None:
        """Lets everybody who waits go on, now and later."""
        with self._lock:
            self._happened.set()
            waiters, self._waiters = self._waiters, []
        for token, event in waiters:
            _tell(token, event)

    async def wait(self, *, timeout_seconds: float | None = 10.0) -> None:
        """Waits until it has happened. Raises the builtin TimeoutError."""
        event = anyio.Event()
        with self._lock:
            if self._happened.is_set():
                event.set()
            else:
                self._waiters.append((current_token(), event))
        with anyio.fail_after(timeout_seconds):
            await event.wait()

    def wait_sync(self, *, timeout_seconds: float = 10.0) -> None:
        """`wait` for a thread without an event loop."""
        if not self._happened.wait(timeout_seconds):
            raise TimeoutError(f"the signal was not given within {timeout_seconds} s")


def _tell(token: EventLoopToken, event: anyio.Event) -> None:
    if _here() == token:
        event.set()
        return
    try:
        anyio.from_thread.run_sync(event.set, token=token)
    except RuntimeError:  # that event loop is over, and with it whoever waited
        return


def _here() -> EventLoopToken | None:
    try:
        return current_token()
    except RuntimeError:  # anyio.NoEventLoopError: this thread runs no event loop
        return None


class Gate:
    """A place where a scripted model stops until the test opens it.

    `reached` is set when the model arrives, `left` when it was cancelled while it waited.
    """

    def __init__(self) -> None:
        self.reached = Signal()
        self.left = Signal()
        self._opened = Signal()

    def __repr__(self) -> str:
        return f"Gate(reached={bool(self.reached)}, open={bool(self._opened)})"

    def open(self) -> None:
        """Lets through whoever waits here, and everybody who comes later. From any thread."""
        self._opened.set()

    async def passed(self) -> None:
        """Waits in front of the gate until it is open, however long that takes."""
        self.reached.set()
        try:
            await self._opened.wait(timeout_seconds=None)
        except BaseException:
            self.left.set()
            raise
