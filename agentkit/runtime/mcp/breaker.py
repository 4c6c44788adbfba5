"""When a server that does not come up is tried again: at once at first, then ever later, so that calls fail fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Breaker"]

PATIENT_FAILURES: Final = 3  # in a row, before it opens
LONGEST_SECONDS: Final = 60.0


@dataclass(slots=True)
class Breaker:
    """Counts failures to connect in a row. Times are those of one monotonic clock, in seconds."""

    failures: int = 0
    retry_at: float = 0.0
    reason: str = ""

    def left(self, now: float) -> float:
        """For how many seconds nothing is tried yet; 0 when it may be."""
        return max(0.0, self.retry_at - now)

    def failed(self, now: float, reason: str) -> None:
        """Counts one more; from the third on nothing is tried for 1, 2, 4 ... 60 seconds."""
        self.failures += 1
        self.reason = reason
        if self.failures >= PATIENT_FAILURES:
            self.retry_at = now + min(2.0 ** min(self.failures - PATIENT_FAILURES, 10), LONGEST_SECONDS)

    def succeeded(self) -> None:
        """It is there: all is forgotten."""
        self.failures, self.retry_at, self.reason = 0, 0.0, ""
