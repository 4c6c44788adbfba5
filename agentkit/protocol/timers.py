"""Timers with identities, so that one that was meant for an earlier outage says nothing about this one."""

from __future__ import annotations

from agentkit.protocol.effects import StartTimer, Timer

__all__ = ["Timers"]


class Timers:
    """At most one timer per name; a number that is not the newest of its name is stale."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}
        self._numbers = 0

    def start(self, name: str, seconds: float) -> StartTimer:
        """The effect that starts the timer, in place of an earlier one of that name."""
        self._numbers += 1
        self._running[name] = self._numbers
        return StartTimer(Timer(name, self._numbers), seconds)

    def stop(self, *names: str) -> None:
        """Makes what is running under these names stale."""
        for name in names:
            self._running.pop(name, None)

    def is_running(self, name: str) -> bool:
        """Whether a timer of that name has been started and has neither fired nor been stopped."""
        return name in self._running

    def take(self, timer: Timer) -> bool:
        """Whether this one was waited for; if so, it is no longer."""
        if self._running.get(timer.name) != timer.number:
            return False
        del self._running[timer.name]
        return True
