"""Watchers inside one process: a hint or a frame goes straight into the queue of each."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import checkpoint

from agentkit.errors import UsageError
from agentkit.runtime.ports import Live

__all__ = ["LocalBus", "LocalSubscription"]


class LocalSubscription:
    """One watcher of one chat (port Subscription); one task at a time waits for it."""

    def __init__(self, *, max_live_frames: int) -> None:
        self.dropped = 0  # live frames this watcher was too slow for
        self._max_live_frames = max_live_frames
        self._queue: deque[Live | None] = deque()  # None: the log grew; never two in a row
        self._frames = 0
        self._seq = 0  # the highest told
        self._news: anyio.Event | None = None

    async def next(self, timeout_seconds: float) -> list[Live] | None:
        """The live frames since the last call; [] when the log grew; None when the time is over.

        In the order they were published: frames that came after the log grew are returned after the [].
        """
        if self._queue:
            await checkpoint()
        else:
            self._news = anyio.Event()
            with anyio.move_on_after(timeout_seconds):
                await self._news.wait()
            self._news = None
        return self._take() if self._queue else None

    def grew(self, seq: int) -> None:
        """Queues the hint that the log grew to `seq`; a hint that waits last in the queue serves for both."""
        if seq <= self._seq:
            return
        self._seq = seq
        if not self._queue or self._queue[-1] is not None:
            self._queue.append(None)
        self._wake()

    def live(self, frame: Live) -> None:
        """Queues a frame; the oldest one goes where there are too many."""
        self._queue.append(frame)
        self._frames += 1
        if self._frames > self._max_live_frames:
            self._drop_oldest()
        self._wake()

    def _take(self) -> list[Live]:
        first = self._queue.popleft()
        if first is None:
            return []
        frames = [first]
        while self._queue and (frame := self._queue[0]) is not None:
            frames.append(frame)
            self._queue.popleft()
        self._frames -= len(frames)
        return frames

    def _drop_oldest(self) -> None:
        """Drops the oldest frame, never a hint; two hints that become neighbours become one."""
        is_behind_hint = self._queue[0] is None
        if is_behind_hint:
            self._queue.popleft()
        self._queue.popleft()
        if is_behind_hint and (not self._queue or self._queue[0] is not None):
            self._queue.appendleft(None)
        self._frames -= 1
        self.dropped += 1

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()


class LocalBus:
    """Wakes the watchers of a chat and carries live frames to them, on one event loop (port Bus).

    Publishing neither waits nor fails. A watcher that is slower than its chat keeps the newest `max_live_frames`
    frames and loses older ones (`subscription.dropped` counts them); it never loses the hint that the log grew, and
    whatever a frame was about is in the log in the end.
    """

    def __init__(self, *, max_live_frames: int = 256) -> None:
        if max_live_frames < 1:
            raise UsageError(f"max_live_frames={max_live_frames!r}: it is at least 1")
        self._max_live_frames = max_live_frames
        self._watchers: dict[str, set[LocalSubscription]] = {}

    @asynccontextmanager
    async def subscribe(self, chat_id: str) -> AsyncGenerator[LocalSubscription, None]:
        """A subscription that misses nothing published after it is entered (but see the class about slow watchers)."""
        subscription = LocalSubscription(max_live_frames=self._max_live_frames)
        self._watchers.setdefault(chat_id, set()).add(subscription)
        try:
            yield subscription
        finally:
            self._watchers[chat_id].discard(subscription)
            if not self._watchers[chat_id]:
                del self._watchers[chat_id]

    def grew(self, chat_id: str, seq: int) -> None:
        """Tells that the chat's log grew to `seq`."""
        for subscription in self._watchers.get(chat_id, ()):
            subscription.grew(seq)

    def live(self, chat_id: str, frame: Live) -> None:
        """Sends a frame that is not stored."""
        for subscription in self._watchers.get(chat_id, ()):
            subscription.live(frame)
