"""One fetch at a time, numbered, so that it is known what each answer can and cannot know."""

from __future__ import annotations

__all__ = ["Fetches"]


class Fetches:
    """The fetches of one machine. A fetch asked for while one is under way follows it: that one may be too early."""

    def __init__(self) -> None:
        self.last = 0
        self._under_way: int | None = None
        self._again = False

    @property
    def next(self) -> int:
        """The number of the next fetch to be sent: the first that can know of what has happened by now."""
        return self.last + 1

    @property
    def is_under_way(self) -> bool:
        """Whether an answer is awaited."""
        return self._under_way is not None

    def ask(self) -> int | None:
        """The number to send a fetch with; None: one is under way, and `is_owed` after it."""
        if self._under_way is not None:
            self._again = True
            return None
        self._again = False
        self.last += 1
        self._under_way = self.last
        return self.last

    def take(self, seq: int) -> bool:
        """Whether this answer is the awaited one; if so, it is no longer."""
        if seq != self._under_way:
            return False
        self._under_way = None
        return True

    def is_owed(self) -> bool:
        """Whether somebody asked while the last one was under way."""
        return self._again and self._under_way is None
