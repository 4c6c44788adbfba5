"""A clock that stands still until a test moves it: for a store, and for the engine that wakes chats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

__all__ = ["BEGIN", "Clock"]

BEGIN: Final = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """Call it for the time; `sleep` waits until somebody has moved it. Of one event loop at a time."""

    def __init__(self, now: datetime = BEGIN) -> None:
        self.now = now
        self._moved = anyio.Event()

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Waits for that long, by this clock."""
        until = self.now + timedelta(seconds=seconds)
        while self.now < until:
            await self._moved.wait()

    def forward(self, seconds: float) -> None:
        """Moves the time; whoever sleeps looks again."""
        self.now += timedelta(seconds=seconds)
        moved, self._moved = self._moved, anyio.Event()
        moved.set()
