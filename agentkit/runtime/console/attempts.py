"""Sign-ins that failed, counted by the address they came from, so that nobody tries key after key. No clock in here."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from agentkit.runtime.faults import Fault

__all__ = ["Attempts"]

MOST: Final = 10
WINDOW_SECONDS: Final = 60.0
MOST_ADDRESSES: Final = 1_000


class Attempts:
    """Ten that fail in a minute are enough, from each address. `now` is a monotonic time in seconds."""

    def __init__(self) -> None:
        self._made: dict[str, deque[float]] = {}

    def begin(self, address: str, *, now: float) -> None:
        """Counts an attempt, as if it failed. Raises Fault `rate_limited`."""
        if address not in self._made:
            self._make_room(now)
        made = self._made.setdefault(address, deque())
        _forget(made, now)
        if len(made) >= MOST:
            wait = max(1, math.ceil(made[0] + WINDOW_SECONDS - now))
            raise Fault("rate_limited", f"too many sign-ins failed; try again in {wait} s", retry_after=wait)
        made.append(now)

    def succeeded(self, address: str) -> None:
        """Takes back the attempt that was counted last."""
        made = self._made.get(address)
        if made:
            made.pop()

    def _make_room(self, now: float) -> None:
        """Among too many addresses, drops those that did nothing lately, then the one that began first."""
        if len(self._made) < MOST_ADDRESSES:
            return
        for address, made in list(self._made.items()):
            _forget(made, now)
            if not made:
                del self._made[address]
        if len(self._made) >= MOST_ADDRESSES:
            del self._made[next(iter(self._made))]


def _forget(made: deque[float], now: float) -> None:
    while made and made[0] <= now - WINDOW_SECONDS:
        made.popleft()
